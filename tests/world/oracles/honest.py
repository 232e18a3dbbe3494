"""
Oracle S: every status that anybody could have read was well formed, true, and worth its write.

The rules are those that kstatus, `kubectl wait` and dashboards build on: an observed generation
that is not ahead of the object, a time of transition that moves with the status and only then, one
condition per type, each with a reason. To them comes our own promise: Ready means that a model
generated a token.
Source: sigs.k8s.io/cli-utils, pkg/kstatus/README.md; the API conventions of Kubernetes,
"Typical status properties".
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.world.api import Manifest
from tests.world.history import Revision

REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
NEVER_WORTH_A_WRITE = ("resourceVersion", "managedFields", "generation")


def dishonest_statuses(
    revisions: Iterable[Revision], served: Callable[[Revision], bool] = lambda _: True
) -> list[str]:
    """
    Return a sentence per status that broke a rule.

    Args:
        revisions: Of one namespace, in etcd's order.
        served: Tells of a revision in which Ready has become true whether a client was served.
    """
    found: list[str] = []
    before: dict[str, Manifest] = {}
    for each in revisions:
        if each.kind != "Workspace" or each.change == "DELETED":
            continue
        earlier = before.get(each.uid)
        problems = [*_malformed(each.body), *_transitions(earlier, each.body)]
        if earlier is not None and _substance(earlier) == _substance(each.body):
            problems.append("a write that changed nothing")
        if _became_ready(earlier, each.body) and not served(each):
            problems.append("Ready is True and nobody was served")
        before[each.uid] = each.body
        found += [f"revision {each.number}: {problem}" for problem in problems]
    return found


def repeated_announcements(revisions: Iterable[Revision]) -> list[str]:
    """
    Return a sentence per phase, or failure in one, that was announced more often than entered.

    Events of another action than Reconcile announce something else.
    """
    entered: Counter[str] = Counter()
    announced: Counter[str] = Counter()
    phases: dict[str, str] = {}
    for each in revisions:
        if each.kind == "Workspace":
            stalled = [one for one in _conditions(each.body) if one["type"] == "Stalled"]
            phase = (each.body.get("status") or {}).get("phase", "")
            phase = stalled[0]["reason"] if stalled else phase
            entered[phase] += phases.get(each.uid) != phase
            phases[each.uid] = phase
        elif each.kind == "Event" and each.change == "ADDED":
            about = each.body.get("regarding", {}).get("kind")
            ours = about == "Workspace" and each.body.get("action", "Reconcile") == "Reconcile"
            announced[each.body.get("reason", "")] += ours
    return [
        f"{phase} was announced {announced[phase]} times and entered {entered[phase]} times"
        for phase in announced
        if announced[phase] > entered[phase]
    ]


def _conditions(body: Manifest | None) -> list[Manifest]:
    conditions: list[Manifest] = ((body or {}).get("status") or {}).get("conditions") or []
    return conditions


def _malformed(body: Manifest) -> list[str]:
    generation = body["metadata"]["generation"]
    conditions = _conditions(body)
    types = [each["type"] for each in conditions]
    found = [f"{each} twice" for each in sorted(set(types)) if types.count(each) > 1]
    if (body.get("status") or {}).get("observedGeneration", 0) > generation:
        found.append("observedGeneration is ahead of the object")
    for each in conditions:
        if each.get("observedGeneration", 0) > generation:
            found.append(f"{each['type']}: observedGeneration is ahead of the object")
        if not REASON.fullmatch(each.get("reason", "")):
            found.append(f"{each['type']}: {each.get('reason')!r} is no reason")
        if each["status"] != "True" and not each.get("message"):
            found.append(f"{each['type']} is {each['status']} without a message")
    found += _contradictions({each["type"]: each for each in conditions})
    return found


def _contradictions(by_type: dict[str, Manifest]) -> list[str]:
    ready = by_type.get("Ready", {}).get("status")
    return [
        f"Ready is {ready} and {other} is {by_type[other]['status']}"
        for other in ("InferenceReady", "ResourceReady", "WorkspaceSucceeded")
        if other in by_type and ready == "True" and by_type[other]["status"] != "True"
    ]


def _transitions(before: Manifest | None, after: Manifest) -> list[str]:
    earlier = {each["type"]: each for each in _conditions(before)}
    found = []
    for each in _conditions(after):
        old = earlier.get(each["type"])
        if old is None:
            continue
        moved = old["lastTransitionTime"] != each["lastTransitionTime"]
        changed = old["status"] != each["status"]
        if moved and not changed:
            found.append(f"{each['type']}: the time of transition moved and the status did not")
        if each["lastTransitionTime"] < old["lastTransitionTime"]:
            found.append(f"{each['type']}: the time of transition went back")
    return found


def _became_ready(before: Manifest | None, after: Manifest) -> bool:
    def ready(body: Manifest | None) -> bool:
        return any(
            each["type"] == "Ready" and each["status"] == "True" for each in _conditions(body)
        )

    return ready(after) and not ready(before)


def _substance(body: Manifest) -> dict[str, Any]:
    metadata = {k: v for k, v in body["metadata"].items() if k not in NEVER_WORTH_A_WRITE}
    return {**body, "metadata": metadata}
