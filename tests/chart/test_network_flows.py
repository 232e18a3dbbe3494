"""Who may talk to the operator, and to whom the operator may talk: a table of flows."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.installation import NAMESPACE, render_chart
from tests.network_flows import End, lets, pod

pytestmark = pytest.mark.usefixtures("helm")

OPERATOR = pod(NAMESPACE, app_kubernetes_io__name="atelier", app_kubernetes_io__instance="atelier")
NEIGHBOUR = pod(NAMESPACE, app="another")
PROMETHEUS = pod("monitoring", app="prometheus")
STRANGER = pod("shop", app="web")
MODEL = pod("team", kaito_sh__workspace="mistral")
DNS = pod("kube-system", k8s="dns")
NODE_DNS = End(address="169.254.20.10")
API_SERVER = End(address="10.0.0.1")
OUTSIDE = End(address="203.0.113.7")
METADATA = End(address="169.254.169.254")

FROM_MONITORING = {
    "networkPolicy__metricsFrom": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
}
NARROW = {"networkPolicy__apiServerRanges": ["10.0.0.1/32"], "networkPolicy__apiServerPorts": [443]}


@dataclass(frozen=True, kw_only=True)
class Flow:
    name: str
    source: End = OPERATOR
    target: End = OPERATOR
    port: int
    passes: bool
    protocol: str = "TCP"
    values: dict[str, Any] = field(default_factory=dict)


FLOWS = [
    Flow(name="a scrape", source=PROMETHEUS, port=8080, passes=True),
    Flow(name="a scrape of another port", source=PROMETHEUS, port=9000, passes=False),
    Flow(
        name="a scrape where the port was moved",
        source=PROMETHEUS,
        port=9000,
        passes=True,
        values={"metrics__port": 9000},
    ),
    Flow(name="the health port, by a pod", source=STRANGER, port=8081, passes=False),
    Flow(name="a neighbour", source=NEIGHBOUR, port=22, passes=False),
    Flow(
        name="a scrape from the namespace that is named",
        source=PROMETHEUS,
        port=8080,
        passes=True,
        values=FROM_MONITORING,
    ),
    Flow(
        name="a scrape from a namespace that is not named",
        source=STRANGER,
        port=8080,
        passes=False,
        values=FROM_MONITORING,
    ),
    Flow(name="the API server", target=API_SERVER, port=443, passes=True),
    Flow(name="the API server of kubeadm", target=API_SERVER, port=6443, passes=True),
    Flow(name="the API server's host by SSH", target=API_SERVER, port=22, passes=False),
    Flow(
        name="the API server in its range", target=API_SERVER, port=443, passes=True, values=NARROW
    ),
    Flow(
        name="the API server, another port",
        target=API_SERVER,
        port=6443,
        passes=False,
        values=NARROW,
    ),
    Flow(name="an address out of the range", target=OUTSIDE, port=443, passes=False, values=NARROW),
    Flow(name="plain HTTP to the world", target=OUTSIDE, port=80, passes=False),
    Flow(name="the cloud's metadata", target=METADATA, port=80, passes=False),
    Flow(name="names", target=DNS, port=53, protocol="UDP", passes=True),
    Flow(name="names, by TCP", target=DNS, port=53, passes=True),
    Flow(name="names, on the node", target=NODE_DNS, port=53, protocol="UDP", passes=True),
    Flow(
        name="names, outside: a way to leak", target=OUTSIDE, port=53, protocol="UDP", passes=False
    ),
    Flow(name="a model", target=MODEL, port=5000, passes=True),
    Flow(name="a template's model", target=MODEL, port=8000, passes=True),
    Flow(name="a pod that is no model", target=STRANGER, port=5000, passes=False),
]


@pytest.fixture(scope="module")
def policies_of() -> Any:  # noqa: ANN401 - a function with a memory
    memory: dict[str, list[dict[str, Any]]] = {}

    def policies(values: dict[str, Any]) -> list[dict[str, Any]]:
        key = repr(values)
        if key not in memory:
            rendered = render_chart(values)
            memory[key] = [each for each in rendered if each["kind"] == "NetworkPolicy"]
        return memory[key]

    return policies


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_the_flow(flow: Flow, policies_of: Any) -> None:  # noqa: ANN401 - see above
    found = policies_of(flow.values)
    assert len(found) == 1
    assert lets(found, flow.source, flow.target, flow.port, flow.protocol) is flow.passes


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_without_a_policy_every_flow_would_pass(flow: Flow, policies_of: Any) -> None:  # noqa: ANN401 - see above
    """The table must be able to fail."""
    off = policies_of({"networkPolicy__enabled": False})
    assert off == []
    assert lets(off, flow.source, flow.target, flow.port, flow.protocol)
