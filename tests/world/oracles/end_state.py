"""
Oracle E: describe what a namespace holds so that two runs can be compared.

Whatever differs between two good runs is masked, and nothing else: names that carry a hash or a
namespace, times, addresses, versions. What the operator decides stays: labels, specs, conditions
with their messages, the number of tries, the revision of the Deployment.
"""

import re
from collections.abc import Iterable
from typing import Any

from tests.world.api import Manifest
from tests.world.history import Revision, living

COMPARED = (
    "Workspace",
    "NodeClaim",
    "Deployment",
    "ReplicaSet",
    "Service",
    "NetworkPolicy",
    "Pod",
)
DROPPED = frozenset(
    {
        "clusterIP",
        "clusterIPs",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
        "nodePort",
        "resourceVersion",
        "uid",
        "deployment.kubernetes.io/desired-replicas",
        "pod-template-hash",
        "generateName",
        "imageID",
    }
)
# Of these only the names are compared: their values are seconds.
MEASURED = frozenset({"startup"})
# Their status is the work of others, or passes through states that no one waits for.
WITHOUT_STATUS = frozenset({"Deployment", "ReplicaSet", "Pod", "Service"})
SHOWN = 200
MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b"), "HASH"),
    (re.compile(r"\bws[0-9a-f]{15}\b"), "CLAIM"),
    (re.compile(r"\b127\.\d+\.\d+\.\d+\b"), "ADDRESS"),
    # The alphabet of generated names. Source: k8s.io/apimachinery, pkg/util/rand/rand.go.
    (
        re.compile(r"(?<=mistral-)[bcdf-hj-np-tv-xz2-9]{5,10}(-[bcdf-hj-np-tv-xz2-9]{5})?\b"),
        "SUFFIX",
    ),
)


def end_state(
    revisions: Iterable[Revision], team: str, *, forgiven: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """
    Describe the objects that live after these revisions: kind and masked name to masked body.

    Args:
        revisions: Of one namespace.
        team: Its name.
        forgiven: Fields that need not be alike, with an argument for each where they are named.
    """
    found: dict[str, list[Any]] = {}
    for each in living(revisions).values():
        if each.kind in COMPARED:
            body = _without_status(each.kind, each.body)
            label = f"{each.kind} {masked(each.name, team)}"
            found.setdefault(label, []).append(masked(body, team, forgiven))
    return {label: sorted(bodies, key=repr) for label, bodies in sorted(found.items())}


def _without_status(kind: str, body: Manifest) -> Manifest:
    if kind not in WITHOUT_STATUS:
        return body
    return {key: value for key, value in body.items() if key != "status"}


def masked(
    value: Any,  # noqa: ANN401 - any JSON
    team: str,
    forgiven: frozenset[str] = frozenset(),
) -> Any:  # noqa: ANN401 - any JSON
    """Return a JSON value without what differs from one good run to the next."""
    if isinstance(value, dict):
        return {
            key: sorted(each) if key in MEASURED else masked(each, team, forgiven)
            for key, each in value.items()
            if key not in DROPPED | forgiven
        }
    if isinstance(value, list):
        return [masked(each, team, forgiven) for each in value]
    if isinstance(value, str):
        text = value.replace(team, "NAMESPACE")
        for pattern, mask in MASKS:
            text = pattern.sub(mask, text)
        return text
    return value


def difference(expected: Any, found: Any, where: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Name the places where two described states differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted(expected.keys() | found.keys())
            for line in difference(expected.get(key), found.get(key), f"{where}/{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [
            line
            for number, (one, other) in pairs
            for line in difference(one, other, f"{where}/{number}")
        ]
    if expected == found:
        return []
    return [f"{where}: expected {_short(expected)}, found {_short(found)}"]


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Count what is long, and show what is not."""
    text = repr(value)
    many = f"{len(value)} of them" if isinstance(value, list | dict) else f"{text[:SHOWN]}..."
    return text if len(text) <= SHOWN else many
