"""
The scheduler and the kubelet, played: a pod of ours lands on a node with a GPU and runs a `Model`.

Kept from the real ones: a pod stays Pending without a node that carries the labels it asks for and
has GPUs that no other pod holds, the
container is started before it is ready, and a deleted pod is gone only when its server is.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.world import weights
from tests.world.api import Api, ApiError, Manifest
from tests.world.cloud import condition, now
from tests.world.model import Model
from tests.world.training import Training

GPU = "nvidia.com/gpu"
OURS = "labelSelector=kaito.sh/workspace"
ALREADY_BOUND = 409  # by a request of ours whose answer was lost
NOW = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


@dataclass(slots=True)
class Kubelet:
    """
    Run every pod of ours; `phase` is the state in which new models start.

    One that fetches its weights does so until a test says otherwise. One whose image has `crashes`
    in its name ends again and again. `stuck` is shown of every container instead of the truth, in
    the fields of a container's status, while it is not None.
    """

    api: Api
    phase: str = "ready"
    crashes: str = "/broken:"
    stuck: Manifest | None = None
    models: dict[str, Model] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    _held: dict[str, tuple[str, int]] = field(default_factory=dict)
    _tokens: Counter[str] = field(default_factory=Counter)

    def served(self, namespace: str) -> int:
        """Count the tokens that models of a namespace ever made, also those that are gone."""
        return self._tokens[namespace]

    async def run(self) -> None:
        running: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                async for change, pod in self.api.watch("/api/v1/pods", OURS):
                    uid = pod["metadata"]["uid"]
                    gone = change == "DELETED" or pod["metadata"].get("deletionTimestamp")
                    if not gone and uid not in running:
                        running[uid] = group.create_task(self._run(pod))
                    elif gone:
                        if uid in running:
                            running.pop(uid).cancel()
                        if change != "DELETED":
                            await self.api.delete(_path(pod), NOW)
        finally:
            for model in self.models.values():
                await model.listener.stop()

    async def _run(self, pod: Manifest) -> None:
        if "batch.kubernetes.io/job-name" in pod["metadata"]["labels"]:
            await self._train(pod)
            return
        name = pod["metadata"]["name"]
        namespace = pod["metadata"]["namespace"]
        model = Model(on_token=lambda: self._tokens.update([namespace]))
        model.phase = "fetching" if weights.fetches(pod) else self.phase
        with contextlib.suppress(ApiError, aiohttp.ClientError):
            try:
                await self._place(pod)
                if self.crashes in pod["spec"]["containers"][0]["image"]:
                    await self.api.merge(f"{_path(pod)}/status", _crashed(pod))
                    return
                await model.listener.start()
                self.models[name] = model
                await self._report(pod, model)
            finally:
                self._held.pop(pod["metadata"]["uid"], None)
                self.models.pop(name, None)
                await model.listener.stop()

    async def _train(self, pod: Manifest) -> None:
        """Run the pod of a Job until the test ends it; then it lies there with its last words."""
        name = pod["metadata"]["name"]
        training = Training()
        with contextlib.suppress(ApiError):
            try:
                await self._place(pod)
                await training.listener.start()
                self.trainings[name] = training
                started = now()
                running = {"running": {"startedAt": started}}
                await self.api.merge(f"{_path(pod)}/status", _of_job(pod, training, running))
                await training.ended.wait()
                end = {
                    "exitCode": training.exit_code,
                    "reason": "Error" if training.exit_code else "Completed",
                    "message": training.last_words,
                    "startedAt": started,
                    "finishedAt": now(),
                }
                await self.api.merge(
                    f"{_path(pod)}/status", _of_job(pod, training, {"terminated": end})
                )
            finally:
                self._held.pop(pod["metadata"]["uid"], None)
                self.trainings.pop(name, None)
                await training.listener.stop()

    async def _place(self, pod: Manifest) -> None:
        told = ""
        while missing := await weights.missing_claim(self.api, pod):
            if missing != told:
                await self.api.merge(f"{_path(pod)}/status", weights.not_placed(missing))
            told = missing
            await asyncio.sleep(0.1)
        while True:
            for node in await self.api.items("/api/v1/nodes"):
                if _fits(pod, node) and self._reserve(pod, node):
                    metadata = pod["metadata"]
                    binding = {
                        "apiVersion": "v1",
                        "kind": "Binding",
                        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
                        "target": {"kind": "Node", "name": node["metadata"]["name"]},
                    }
                    try:
                        await self.api.create(f"{_path(pod)}/binding", binding)
                    except ApiError as error:
                        if error.status != ALREADY_BOUND:
                            raise
                    return
            await asyncio.sleep(0.1)

    def _reserve(self, pod: Manifest, node: Manifest) -> bool:
        """Hold the GPUs that a pod asks for, where the node has as many left."""
        limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
        wanted = int(limits.get(GPU, 0))
        name, uid = node["metadata"]["name"], pod["metadata"]["uid"]
        held = sum(gpus for place, gpus in self._held.values() if place == name)
        free = int(node.get("status", {}).get("allocatable", {}).get(GPU, 0)) - held
        if wanted > free:
            return False
        self._held[uid] = name, wanted
        return True

    async def _report(self, pod: Manifest, model: Model) -> None:
        """Write the pod's status whenever the model's readiness has changed, or what is stuck."""
        started = now()
        reported: tuple[object, ...] | None = None
        while True:
            fetching = model.phase == "fetching"
            if (model.ready, self.stuck, fetching, model.fetch_end) != reported:
                reported = model.ready, self.stuck, fetching, model.fetch_end
                status = _status(pod, model, started, self.stuck)
                if fetching:
                    status = weights.while_fetching(pod, model, started)
                elif weights.fetches(pod):
                    status = weights.when_fetched(status, pod, started)
                await self.api.merge(f"{_path(pod)}/status", status)
            await asyncio.sleep(0.05)


def _path(pod: Manifest) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _fits(pod: Manifest, node: Manifest) -> bool:
    """Evaluate the one term of the pod's node affinity that we write: every label is In a list."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    labels = node["metadata"].get("labels", {})
    return any(
        all(
            labels.get(each["key"]) in each["values"]
            for each in term.get("matchExpressions", [])
            if each["operator"] == "In"
        )
        for term in required.get("nodeSelectorTerms", [{}])
    )


def _of_job(pod: Manifest, training: Training, state: Manifest) -> Manifest:
    container = pod["spec"]["containers"][0]
    ended = "terminated" in state
    phase = ("Failed" if training.exit_code else "Succeeded") if ended else "Running"
    running = "False" if ended else "True"
    return {
        "status": {
            "phase": phase,
            "podIP": training.listener.address,
            "podIPs": [{"ip": training.listener.address}],
            "conditions": [condition("PodScheduled", "True"), condition("Ready", running)],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": not ended,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
    }


def _crashed(pod: Manifest) -> Manifest:
    container = pod["spec"]["containers"][0]
    end = {"exitCode": 3, "reason": "Error", "message": "the played container ended"}
    return {
        "status": {
            "phase": "Running",
            "conditions": [condition("PodScheduled", "True"), condition("Ready", "False")],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 5,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": end},
                }
            ],
        }
    }


def _status(pod: Manifest, model: Model, started: str, stuck: Manifest | None) -> Manifest:
    serves = model.ready and stuck is None
    ready = "True" if serves else "False"
    container = pod["spec"]["containers"][0]
    return {
        "status": {
            "phase": "Running" if stuck is None else "Pending",
            "podIP": model.listener.address,
            "podIPs": [{"ip": model.listener.address}],
            "startTime": started,
            "conditions": [
                condition("PodScheduled", "True"),
                condition("Initialized", "True"),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": serves,
                    "restartCount": 0,
                    "started": stuck is None,
                    "state": {"running": {"startedAt": started}},
                    "lastState": {},
                    **(stuck or {}),
                }
            ],
        }
    }
