"""Who may talk to a model, and to whom a model may talk: a table of flows."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.plan import plan_template
from workspace_operator.settings import Settings

from tests.builders import SETTINGS, Manifest, planned, workspace
from tests.network_flows import End, lets, pod

MODEL = pod("team", address="10.0.0.1", kaito_sh__workspace="mistral")
SIBLING = pod("team", kaito_sh__workspace="other")
CLIENT = pod("shop", app="web")
OPERATOR = pod("atelier-system", app="atelier")
DNS = pod("kube-system", k8s="dns")
OUTSIDE = End(address="203.0.113.7")
METADATA = End(address="169.254.169.254")

BALANCED: dict[str, Any] = {"annotations": {"kaito.sh/enablelb": "True"}}
GATED: dict[str, Any] = {
    "inference": {
        "preset": {
            "name": "mistral-7b-instruct",
            "presetOptions": {"modelAccessSecret": "hub"},
        }
    }
}
FETCHES: dict[str, Any] = {"annotations": {"atelier.dev/weights": "fetch"}}
MIRROR = replace(SETTINGS, hub_endpoint="http://hub.apps:8081")
SHOP_ONLY = replace(
    SETTINGS,
    model_clients=(
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}},
    ),
)
NOBODY = replace(SETTINGS, model_clients=())
RANGE = replace(SETTINGS, model_clients=({"ipBlock": {"cidr": "203.0.113.0/24"}},))


def policy(settings: Settings = SETTINGS, **facts: Any) -> Manifest:  # noqa: ANN401 - as `workspace`
    made = workspace(**facts)
    return network_policy(made, planned(made, settings), settings)


@dataclass(frozen=True, kw_only=True)
class Flow:
    name: str
    source: End
    target: End
    port: int
    passes: bool
    protocol: str = "TCP"
    settings: Settings = SETTINGS
    facts: dict[str, Any] | None = None


def into(name: str, source: End, *, passes: bool, port: int = 5000, **more: Any) -> Flow:  # noqa: ANN401 - as Flow
    return Flow(name=name, source=source, target=MODEL, port=port, passes=passes, **more)


def out(name: str, target: End, *, passes: bool, port: int = 443, **more: Any) -> Flow:  # noqa: ANN401 - as Flow
    return Flow(name=name, source=MODEL, target=target, port=port, passes=passes, **more)


FLOWS = [
    into("a client in any namespace", CLIENT, passes=True),
    into("a pod of the same namespace", SIBLING, passes=True),
    into("the operator", OPERATOR, passes=True),
    into("another port", CLIENT, port=8080, passes=False),
    into("the same port by UDP", CLIENT, protocol="UDP", passes=False),
    into("somebody outside", OUTSIDE, passes=False),
    into("somebody outside, with a load balancer", OUTSIDE, passes=True, facts=BALANCED),
    into("another port, with a load balancer", OUTSIDE, port=22, passes=False, facts=BALANCED),
    into("the namespace that is named", CLIENT, passes=True, settings=SHOP_ONLY),
    into("a namespace that is not named", SIBLING, passes=False, settings=SHOP_ONLY),
    into("the operator, not named", OPERATOR, passes=True, settings=SHOP_ONLY),
    into("a client, nobody named", CLIENT, passes=False, settings=NOBODY),
    into("the operator, nobody named", OPERATOR, passes=True, settings=NOBODY),
    into("an address of the range", OUTSIDE, passes=True, settings=RANGE),
    into("a pod that is not of the range", CLIENT, passes=False, settings=RANGE),
    out("names, by UDP", DNS, port=53, protocol="UDP", passes=True),
    out("names, by TCP", DNS, port=53, passes=True),
    out("a name server outside: a way to leak", OUTSIDE, port=53, protocol="UDP", passes=False),
    out("the internet", OUTSIDE, passes=False),
    out("the cloud's metadata", METADATA, port=80, passes=False),
    out("another model", SIBLING, port=5000, passes=False),
    out("the API server's port", OPERATOR, port=6443, passes=False),
    out("the hub, with a token for it", OUTSIDE, passes=True, facts=GATED),
    out("plain HTTP, with a token for the hub", METADATA, port=80, passes=False, facts=GATED),
    out("the hub, to fetch the weights", OUTSIDE, passes=True, facts=FETCHES),
    out("plain HTTP, while weights are fetched", METADATA, port=80, passes=False, facts=FETCHES),
    out("a mirror's port", OUTSIDE, port=8081, passes=True, facts=FETCHES, settings=MIRROR),
    out("a mirror's files elsewhere", OUTSIDE, passes=True, facts=FETCHES, settings=MIRROR),
    out("a mirror that nothing is fetched from", OUTSIDE, passes=False, settings=MIRROR),
    into("the operator, while weights are fetched", OPERATOR, passes=True, facts=FETCHES),
    Flow(name="another Workspace's pod", source=CLIENT, target=SIBLING, port=22, passes=True),
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_the_flow(flow: Flow) -> None:
    policies = [policy(flow.settings, **(flow.facts or {}))]
    found = lets(policies, flow.source, flow.target, flow.port, flow.protocol)
    assert found is flow.passes


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_without_a_policy_every_flow_would_pass(flow: Flow) -> None:
    """The table must be able to fail."""
    assert lets([], flow.source, flow.target, flow.port, flow.protocol)


def test_a_template_is_reached_at_what_it_declares_and_reaches_what_it_wants() -> None:
    ports = [{"containerPort": 9}, {"name": "http", "containerPort": 8000}]
    container = {"name": "own", "image": "i", "ports": ports}
    made = workspace(inference={"template": {"spec": {"containers": [container]}}})
    policies = [network_policy(made, plan_template(made, SETTINGS), SETTINGS)]
    reached = [port for port in (9, 22, 5000, 8000) if lets(policies, CLIENT, MODEL, port, "TCP")]
    assert reached == [9, 8000]
    assert lets(policies, MODEL, OUTSIDE, 80, "TCP")
