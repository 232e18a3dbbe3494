"""
Evaluate NetworkPolicies: would this flow be let through?

As small as the API allows: peers (pod and namespace selectors, address blocks), ports and policy
types. Source: the NetworkPolicy v1 reference at kubernetes.io. A pod that no policy selects for a
direction is open in it; one that any does is closed but for what the rules of all of them let in.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a flow: a pod with its labels and those of its namespace, or an address alone."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def pod(namespace: str, address: str = "10.0.0.9", **labels: str) -> End:
    return End(
        namespace=namespace,
        labels={key.replace("__", "/").replace("_", "."): value for key, value in labels.items()},
        namespace_labels={"kubernetes.io/metadata.name": namespace},
        address=address,
    )


def lets(policies: Sequence[Manifest], source: End, target: End, port: int, protocol: str) -> bool:
    """Say whether a flow gets out of its source and into its target."""
    return _passes(policies, "Egress", source, target, (port, protocol)) and _passes(
        policies, "Ingress", target, source, (port, protocol)
    )


def _passes(
    policies: Sequence[Manifest], direction: str, own: End, other: End, what: tuple[int, str]
) -> bool:
    selecting = [
        policy
        for policy in policies
        if own.is_pod
        and policy["metadata"]["namespace"] == own.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    return not selecting or any(
        _rule_lets(rule, direction, policy["metadata"]["namespace"], other, what)
        for policy in selecting
        for rule in policy["spec"].get(direction.lower(), [])
    )


def _rule_lets(
    rule: Manifest, direction: str, namespace: str, other: End, what: tuple[int, str]
) -> bool:
    peers = rule.get("from" if direction == "Ingress" else "to", [])
    ports = rule.get("ports", [])
    number, protocol = what
    return (not peers or any(_is_peer(peer, namespace, other) for peer in peers)) and (
        not ports
        or any(
            each.get("protocol", "TCP") == protocol and each.get("port", number) == number
            for each in ports
        )
    )


def _is_peer(peer: Manifest, namespace: str, end: End) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(end.address)
        inside = address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        left_out = peer["ipBlock"].get("except", [])
        return inside and not any(address in ipaddress.ip_network(each) for each in left_out)
    if not end.is_pod:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], end.namespace_labels):
            return False
    elif end.namespace != namespace:
        return False
    return _selects(peer.get("podSelector", {}), end.labels)


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _holds(each, labels) for each in selector.get("matchExpressions", [])
    )


def _holds(expression: Manifest, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None
