"""Every alert and panel asks for metrics that exist, and every alert has its section to read."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_server.api.lifecycle import ModelIdentity, Phase, Readiness
from model_server.api.metrics import EngineLoad
from model_server.api.metrics import Metrics as ServerMetrics
from prometheus_client import CollectorRegistry
from workspace_operator.metrics import Metrics
from workspace_operator.snapshot import CLAIM_STEPS
from workspace_operator.status import node_reasons, reasons, training_reasons
from workspace_operator.status.finding import Reason
from workspace_operator.status.pace import READY_PHASE
from workspace_operator.status.training import SUCCEEDED_PHASE

from tests.installation import CHART, render_chart

ROOT = CHART.parents[1]
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

NAME = re.compile(r"\b(?:atelier|process|http|model_server|vllm)[_:]\w+")
MATCHER = re.compile(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"')
PARTS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
PHASES = {
    each.phase
    for module in (reasons, node_reasons, training_reasons)
    for each in vars(module).values()
    if isinstance(each, Reason)
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def names_of(registry: CollectorRegistry) -> set[str]:
    return {
        family.name + part for family in registry.collect() for part in PARTS.get(family.type, ())
    }


def existing() -> set[str]:
    server = ServerMetrics("any")
    ready = Readiness(phase=Phase.READY, model=ModelIdentity(name="any"))
    server.watch(lambda: ready, EngineLoad)
    return names_of(Metrics().registry) | names_of(server.registry)


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for query in queries() for name in NAME.findall(query)}

    assert {"atelier_lease_held", "vllm:num_requests_waiting"} <= asked
    assert asked - existing() == set()


@pytest.mark.usefixtures("helm")
def test_every_value_of_a_label_that_is_asked_for_exists() -> None:
    values = {
        "phase": PHASES | {READY_PHASE, SUCCEEDED_PHASE},
        "step": {*CLAIM_STEPS, "Requested", "Deleting"},
        "outcome": {"done"},
        "kind": {"NodeClaim"},
        "verb": {"post"},
    }
    asked = [match for query in queries() for match in MATCHER.findall(query)]
    role = next(each for each in render_chart() if each["kind"] == "ClusterRole")
    (rule,) = (each for each in role["rules"] if "nodeclaims" in each["resources"])
    assert not {"patch", "update"} & {*rule["verbs"]}, "a claim is only made and deleted"

    assert asked
    wrong = [
        (label, value)
        for label, text in asked
        for value in text.split("|")
        if value not in values[label]
    ]
    assert wrong == []


def test_every_alert_says_how_bad_it_is_and_has_its_section() -> None:
    named = [rule["alert"] for rule in rules()]

    assert re.findall(r"^### (\w+)$", OPERATIONS, re.MULTILINE) == named
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")
        section = OPERATIONS.partition(f"### {rule['alert']}\n")[2].partition("\n#")[0]
        assert "**Look**" in section or rule["alert"] == "AtelierMemoryNearLimit"
        assert "**Do**" in section


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in places
        for x in range(place["w"])
        for y in range(place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize(
    ("script", "written"),
    [
        ("dashboard.py", "charts/atelier/files/dashboard.json"),
        ("metrics_page.py", "docs/metrics.md"),
        ("sizes_page.py", "docs/sizes.md"),
    ],
)
def test_what_is_generated_is_fresh(script: str, written: str, tmp_path: Path) -> None:
    target = tmp_path / "written"

    subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, ROOT / "charts" / script, target], check=True, timeout=50
    )

    assert target.read_text() == (ROOT / written).read_text(), "make generate"


@pytest.mark.usefixtures("helm")
def test_nothing_of_prometheus_is_made_unasked_and_all_of_it_carries_its_labels() -> None:
    kinds = {
        "serviceMonitor": "ServiceMonitor",
        "podMonitor": "PodMonitor",
        "alerts": "PrometheusRule",
        "dashboard": "ConfigMap",
    }
    asked = {
        f"metrics__{name}": {"enabled": True, "labels": {"release": "prometheus"}} for name in kinds
    }
    made = {
        each["kind"]: each
        for each in render_chart(asked)
        if each["metadata"]["labels"].get("release") == "prometheus"
    }

    assert len(render_chart(asked)) == len(render_chart()) + len(kinds)
    assert made.keys() == set(kinds.values())
    assert made["PrometheusRule"]["spec"] == ALERTS
    assert json.loads(made["ConfigMap"]["data"]["atelier.json"]) == DASHBOARD
    assert made["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    endpoint = made["ServiceMonitor"]["spec"]["endpoints"][0]["port"]
    service = next(each for each in render_chart() if each["kind"] == "Service")
    assert endpoint in {each["name"] for each in service["spec"]["ports"]}
