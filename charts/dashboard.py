"""
Write the Grafana dashboard of the chart: what users wait for, machines, operator, models.

JSON of Grafana is long and says little, so the panels stand here as a table. `make generate` writes
`charts/atelier/files/dashboard.json`; tests hold every query against the metrics that exist.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDE, HIGH, COLUMNS = 8, 8, 24
QUANTILES = (0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """
    Describe one panel.

    Attributes:
        title: What it shows.
        queries: PromQL, by the legend of its series.
        unit: Grafana's name of the unit.
        about: What a reader should know, shown on hover.

    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    about: str = ""


def _quantiles(metric: str, by: str, legend: str, window: str = "6h") -> dict[str, str]:
    return {
        f"{legend} p{100 * quantile:.0f}": f"histogram_quantile({quantile},"
        f" sum by ({by}) (rate({metric}_bucket[{window}])))"
        for quantile in QUANTILES
    }


ROWS: dict[str, tuple[Panel, ...]] = {
    "What users wait for": (
        Panel(
            title="Workspaces by phase",
            queries={"{{phase}}": "max by (phase) (atelier_workspaces)"},
            about="Every Workspace is in one phase; docs/conditions.md explains them.",
        ),
        Panel(
            title="Time to each step of a start",
            queries=_quantiles("atelier_startup_phase_seconds", "le, phase", "{{phase}}", "1d"),
            unit="s",
            about="Of the starts of the last day; `total` is from apply to the first token.",
        ),
        Panel(
            title="Workspaces that keep failing",
            queries={"slowed down": "max(atelier_open_breakers)"},
        ),
    ),
    "Machines": (
        Panel(
            title="NodeClaims by step",
            queries={"{{step}}": "max by (step) (atelier_node_claims)"},
            about="Initialized machines show their GPU; all but Requested cost money.",
        ),
        Panel(
            title="NodeClaims without Workspace",
            queries={"orphans": "max(atelier_orphan_node_claims)"},
            about="Should be 0: each is a machine that nobody uses.",
        ),
        Panel(
            title="NodeClaims written per hour",
            queries={
                "{{verb}}": 'sum by (verb) (increase(atelier_writes_total{kind="NodeClaim"}[1h]))'
            },
        ),
    ),
    "Operator": (
        Panel(title="Leaders", queries={"{{instance}}": "max by (instance) (atelier_lease_held)"}),
        Panel(
            title="Passes per second",
            queries={"{{outcome}}": "sum by (outcome) (rate(atelier_passes_total[5m]))"},
            unit="ops",
        ),
        Panel(
            title="Time of a pass",
            queries=_quantiles("atelier_pass_seconds", "le", "pass", "15m"),
            unit="s",
        ),
        Panel(
            title="Writes per second",
            queries={"{{verb}} {{kind}}": "sum by (verb, kind) (rate(atelier_writes_total[5m]))"},
            unit="ops",
            about="A cluster where nothing changes is written to only for the Lease.",
        ),
        Panel(title="Workspaces in the queue", queries={"waiting": "max(atelier_queue_depth)"}),
        Panel(
            title="Age of the last LIST",
            queries={"age": "max(atelier_list_age_seconds)"},
            unit="s",
        ),
        Panel(
            title="Memory",
            queries={
                "{{instance}}": "process_resident_memory_bytes and on (job, instance)"
                " atelier_lease_held"
            },
            unit="bytes",
        ),
        Panel(
            title="CPU",
            queries={
                "{{instance}}": "rate(process_cpu_seconds_total[5m]) and on (job, instance)"
                " atelier_lease_held"
            },
            unit="percentunit",
        ),
    ),
    "Tunings": (
        Panel(
            title="Tokens learned from per second",
            queries={"all tunings": "max(atelier_tunings_tokens_per_second)"},
            unit="ops",
        ),
        Panel(
            title="Steps per minute",
            queries={"all tunings": "60 * sum(rate(atelier_tunings_steps_total[5m]))"},
        ),
        Panel(
            title="Longest time without a step",
            queries={"any tuning": "max(atelier_tunings_seconds_without_step)"},
            unit="s",
            about="Of the training that has waited longest; status.tuning of each has its step.",
        ),
        Panel(
            title="Jobs that ended in a day",
            queries={"{{result}}": "sum by (result) (increase(atelier_tunings_ended_total[1d]))"},
        ),
        Panel(
            title="Time in each phase of a tuning",
            queries=_quantiles("atelier_tunings_phase_seconds", "le, phase", "{{phase}}", "1d"),
            unit="s",
        ),
        Panel(
            title="Last loss by the first",
            queries=_quantiles("atelier_tunings_loss_ratio", "le", "loss", "7d"),
            about="Of tunings that succeeded; 1 and more: nothing was learned.",
        ),
    ),
    "Models": (
        Panel(
            title="Requests",
            queries={
                "running {{model_name}}": "sum by (model_name) (vllm:num_requests_running)",
                "waiting {{model_name}}": "sum by (model_name) (vllm:num_requests_waiting)",
            },
        ),
        Panel(
            title="Time to first token",
            queries=_quantiles(
                "vllm:time_to_first_token_seconds", "le, model_name", "{{model_name}}", "5m"
            ),
            unit="s",
        ),
        Panel(
            title="Tokens per second",
            queries={
                "{{model_name}}": "sum by (model_name) (rate(vllm:generation_tokens_total[1m]))"
            },
            unit="ops",
        ),
        Panel(
            title="Cache in use",
            queries={"{{model_name}}": "max by (model_name) (vllm:kv_cache_usage_perc)"},
            unit="percentunit",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return Grafana's model of the dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for number, panel in enumerate(row):
            place = {
                "x": number * WIDE % COLUMNS,
                "y": top + HIGH * (number * WIDE // COLUMNS),
                "w": WIDE,
                "h": HIGH,
            }
            panels.append(_panel(len(panels) + 1, panel, place))
        top += HIGH * -(-len(row) * WIDE // COLUMNS)
    return {
        "uid": "atelier",
        "title": "Atelier",
        "tags": ["atelier"],
        "schemaVersion": 39,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "collapsed": False}


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": query,
                "legendFormat": legend,
                "datasource": source,
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("file", type=Path, help="the JSON file to write")
    parser.parse_args().file.write_text(json.dumps(dashboard(), indent=1) + "\n")
