"""
Judge the pods: what keeps each of them from answering.

The checks stand in the order in which a cause hides the ones below it: a pod that was never placed
pulls no image, one that crashes loads no weights. The first that speaks is the pod's finding; the
Workspace's is that of the pod which got farthest, since that one is nearest to serving.

Must not import node checks or the ladder.
"""

import re
from collections.abc import Callable

from workspace_operator.api import Workspace
from workspace_operator.objects.watchdog import DEVICE_LOST
from workspace_operator.snapshot import Pod
from workspace_operator.snapshot.pod_events import waits_for_its_sandbox
from workspace_operator.snapshot.pods import FETCH_WEIGHTS, Termination
from workspace_operator.snapshot.reading import conditions as conditions_of
from workspace_operator.status import event_reasons, reasons, weights_reasons
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import Finding, Reason, quoted
from workspace_operator.status.ledger import loading_progress

Check = Callable[[Evidence, Pod], Finding | None]

# Source: kubernetes/kubernetes, pkg/kubelet/images/types.go and kuberuntime at v1.35.
IMAGE_ERRORS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
START_ERRORS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
# The operator may read no Secret, so the kubelet is the one who knows.
# Source: kubernetes/kubernetes, pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables, at v1.35.
_MISSING_SECRET = re.compile(
    r'secrets? "(?P<name>[^"]+)" not found|couldn\'t find key \S+ in Secret [^/\s]+/(?P<owner>\S+)'
)
# Source: kubernetes/kubernetes, pkg/scheduler/framework/plugins/volumebinding at v1.35.
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" not found')
# A volume is mounted within seconds, where it is there.
MOUNT_SECONDS = 30
# Source: kubernetes/kubernetes, pkg/kubelet/events/event.go at v1.35.
VOLUME_ERRORS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
KILLED = 137  # 128 + SIGKILL

# What a dying server's last words mean, the most telling first.
_LAST_WORDS: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (
        re.compile(r"CUDA out of memory|OutOfMemoryError|tokens beside the weights"),
        reasons.GPU_OUT_OF_MEMORY,
    ),
    (
        re.compile(r"No CUDA GPUs|driver|CUDA error|NVML|libcuda", re.IGNORECASE),
        reasons.GPU_DRIVER,
    ),
    (re.compile(r"No space left on device|ENOSPC"), reasons.DISK_FULL),
    (
        re.compile(r"\b40[13] (client|unauthorized|forbidden)|gated|HF_TOKEN", re.IGNORECASE),
        reasons.MODEL_ACCESS_DENIED,
    ),
    (
        re.compile(
            r"sha-?256|safetensors|lock file|weights\.lock|copy (it|the file) again", re.IGNORECASE
        ),
        reasons.WEIGHTS_REFUSED,
    ),
)


def pods(
    evidence: Evidence, among: tuple[Pod, ...], checks: tuple[Check, ...] | None = None
) -> Finding:
    """Return what keeps these pods from answering, or how far they have come."""
    if among:
        firsts = [_first(evidence, pod, checks or _CHECKS) for pod in among]
        return max(firsts, key=lambda first: first[0])[1]
    if evidence.ended:
        return _evicted(evidence.ended[-1])
    return _without_pods(evidence.workspace, evidence)


def _first(evidence: Evidence, pod: Pod, checks: tuple[Check, ...]) -> tuple[int, Finding]:
    for order, check in enumerate(checks):
        finding = check(evidence, pod)
        if finding is not None:
            return order, finding
    return len(checks), reasons.PROBE_OUTSTANDING.found(pod=pod.name)


def _without_pods(workspace: Workspace, evidence: Evidence) -> Finding:
    failure = conditions_of(evidence.snapshot.deployment or {}).get("ReplicaFailure")
    if failure is not None and failure.is_true:
        return reasons.POD_REFUSED.found(
            name=workspace.name, namespace=workspace.namespace, quote=quoted(failure.message)
        )
    return reasons.NO_POD_YET.found()


def _evicted(pod: Pod) -> Finding:
    facts = {"pod": pod.name, "node": pod.node, "quote": quoted(pod.message or pod.reason)}
    if re.search(r"disk|ephemeral", pod.message, re.IGNORECASE):
        return reasons.EVICTED_FOR_DISK.found(**facts)
    if re.search(r"memory", pod.message, re.IGNORECASE):
        return reasons.EVICTED_FOR_MEMORY.found(**facts)
    return reasons.EVICTED.found(**facts)


def _placement(evidence: Evidence, pod: Pod) -> Finding | None:
    if pod.node:
        return None
    scheduled = pod.scheduled
    if scheduled is None and pod.name in evidence.snapshot.warnings:
        return reasons.UNSCHEDULABLE.found(pod=pod.name, quote=_warned(evidence, pod, ""))
    if scheduled is not None and scheduled.status == "False":
        missing = _MISSING_CLAIM.search(scheduled.message)
        if missing is not None:
            namespace = evidence.workspace.namespace
            return reasons.CLAIM_MISSING.found(
                pod=pod.name, claim=missing["name"], namespace=namespace
            )
        quote = (
            quoted(scheduled.message)
            if scheduled.message
            else _warned(evidence, pod, scheduled.reason)
        )
        return _preempted(evidence, pod, quote) or reasons.UNSCHEDULABLE.found(
            pod=pod.name, quote=quote
        )
    return reasons.SCHEDULING.found(pod=pod.name)


def _preempted(evidence: Evidence, pod: Pod, verdict: str) -> Finding | None:
    """Say that a pod before this one was made to leave its node, as long as it is on its way."""
    for before in evidence.snapshot.pods:
        target = before.conditions.get("DisruptionTarget")
        if before.deleting and target is not None and target.is_true:
            quote = quoted(target.message)
            facts = {"before": before.name, "left": before.node, "word": target.reason}
            return event_reasons.PREEMPTED.found(
                pod=pod.name, verdict=verdict, quote=quote, **facts
            )
    return None


def _warned(evidence: Evidence, pod: Pod, otherwise: str) -> str:
    """Quote what an Event says about a pod, or else its own status."""
    warning = evidence.snapshot.warnings.get(pod.name)
    return quoted(warning.message if warning is not None else otherwise)


def _image(evidence: Evidence, pod: Pod) -> Finding | None:
    facts = {"pod": pod.name, "node": pod.node, "image": evidence.plan.image}
    if pod.waiting_reason in IMAGE_ERRORS:
        quote = _warned(evidence, pod, pod.waiting_message or pod.waiting_reason)
        return reasons.IMAGE_PULL_ERROR.found(quote=quote, **facts)
    if pod.waiting_reason in START_ERRORS:
        quote = quoted(pod.waiting_message or pod.waiting_reason)
        missing = _MISSING_SECRET.search(pod.waiting_message)
        if missing is not None:
            named = {
                "secret": missing["name"] or missing["owner"],
                "namespace": evidence.workspace.namespace,
            }
            return reasons.SECRET_MISSING.found(pod=pod.name, quote=quote, **named)
        return reasons.START_ERROR.found(pod=pod.name, quote=quote)
    return None if pod.image_pulled else reasons.PULLING_IMAGE.found(**facts)


def _volumes(evidence: Evidence, pod: Pod) -> Finding | None:
    """
    Say what a pod waits for before its containers: a volume, or its network.

    The kubelet says which it is in an Event alone. Without one, that the sandbox is not there after
    a while points at the volumes, since it is made only when all of them are.
    """
    if not waits_for_its_sandbox(pod):
        return None
    warning = evidence.snapshot.warnings.get(pod.name)
    if warning is not None:
        facts = {"pod": pod.name, "node": pod.node, "quote": quoted(warning.message)}
        if warning.reason in VOLUME_ERRORS:
            return event_reasons.VOLUME_NOT_MOUNTED.found(**facts)
        return event_reasons.SANDBOX_FAILED.found(word=warning.reason, **facts)
    if not pod.volumes:
        return None
    placed = pod.scheduled.since if pod.scheduled else None
    if placed is None or (evidence.now - placed).total_seconds() < MOUNT_SECONDS:
        return None
    names = ", ".join(pod.volumes)
    return reasons.VOLUMES_MISSING.found(pod=pod.name, node=pod.node, volumes=names)


def _fetched(evidence: Evidence, pod: Pod) -> Finding | None:
    """Explain an init container: it brings weights, data or adapters."""
    if pod.running or pod.waiting_reason in IMAGE_ERRORS | START_ERRORS:
        return None
    if pod.fetching == FETCH_WEIGHTS:
        began = weights_reasons.FETCHING_WEIGHTS.found(pod=pod.name)
        if pod.fetch_end is None or evidence.answer(pod).bytes_loaded:
            return loading_progress(began, evidence, pod)
    if pod.fetch_end is not None:
        return _not_fetched(pod, pod.fetch_end)
    if pod.fetching:
        return reasons.FETCHING.found(pod=pod.name, what=pod.fetching.removeprefix("fetch-"))
    return None


def _not_fetched(pod: Pod, end: Termination) -> Finding:
    """Explain an init container that failed; that of the weights tells the cause by its code."""
    quote = quoted(end.message or end.reason)
    if pod.failed_fetch != FETCH_WEIGHTS:
        return reasons.DATA_NOT_FETCHED.found(pod=pod.name, quote=quote)
    reason = weights_reasons.BY_END.get(end.exit_code)
    if reason is None:
        return weights_reasons.broken(pod.name, end.exit_code, end.reason, end.message)
    return reason.found(pod=pod.name, node=pod.node, quote=quote)


def _end(_evidence: Evidence, pod: Pod) -> Finding | None:
    """Explain a container that is down, or was until just now."""
    end = pod.last_end
    if end is None or pod.ready or (pod.running and not pod.restarts):
        return None
    if pod.running and end.exit_code == 0:
        return None  # it went on purpose, for a drain
    return _explained(pod, end)


def _explained(pod: Pod, end: Termination) -> Finding:
    known = end_in_words(pod, end)
    if known is not None:
        return known
    quote = quoted(end.message or end.reason)
    return reasons.CRASH_LOOP.found(pod=pod.name, node=pod.node, code=end.exit_code, quote=quote)


def end_in_words(pod: Pod, end: Termination) -> Finding | None:
    """Return what is known of such an end, whichever program it was."""
    if end.reason == "OOMKilled" or (end.exit_code == KILLED and end.reason != "Error"):
        return reasons.OOM_KILLED.found(pod=pod.name, restarts=max(1, pod.restarts))
    quote = quoted(end.message or end.reason)
    if end.exit_code == DEVICE_LOST:
        return reasons.GPU_DEVICE_LOST.found(pod=pod.name, node=pod.node, quote=quote)
    reason = _meaning(end.message)
    return reason.found(pod=pod.name, node=pod.node, quote=quote) if reason else None


def _server(evidence: Evidence, pod: Pod) -> Finding | None:
    answer = evidence.answer(pod)
    match answer.phase:
        case "failed":
            reason = _meaning(answer.error) or reasons.SERVER_FAILED
            return reason.found(pod=pod.name, node=pod.node, quote=quoted(answer.error))
        case "loading":
            return loading_progress(reasons.LOADING.found(pod=pod.name), evidence, pod)
        case "warming":
            return reasons.WARMING.found(pod=pod.name)
        case "draining":
            return reasons.DRAINING.found(pod=pod.name)
        case "ready":
            return None
        case _:
            return None if pod.ready else _starting(evidence, pod)


def _starting(evidence: Evidence, pod: Pod) -> Finding:
    if pod.name in evidence.snapshot.warnings:
        return event_reasons.NOT_HEALTHY.found(pod=pod.name, quote=_warned(evidence, pod, ""))
    return reasons.SERVER_STARTING.found(pod=pod.name)


def _proof(evidence: Evidence, pod: Pod) -> Finding | None:
    answer = evidence.answer(pod)
    if not pod.ready:
        return reasons.NOT_ROUTED.found(pod=pod.name)
    if answer.token_generated:
        return None
    if answer.error:
        return reasons.PROBE_REFUSED.found(pod=pod.name, quote=quoted(answer.error))
    return reasons.PROBE_OUTSTANDING.found(pod=pod.name)


def _meaning(words: str) -> Reason | None:
    return next((reason for pattern, reason in _LAST_WORDS if pattern.search(words)), None)


BEFORE_THE_START: tuple[Check, ...] = (_placement, _volumes, _fetched, _image)
_CHECKS: tuple[Check, ...] = (*BEFORE_THE_START, _end, _server, _proof)
