"""
Write docs/metrics.md: every metric of the operator, as its registry holds it.

`make generate` runs `python charts/metrics_page.py docs/metrics.md`; a test checks that it changes
nothing.
"""

import argparse
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from workspace_operator.metrics import Metrics
from workspace_operator.tuning_metrics import TuningMetrics

HEAD = """\
<!-- Written by `make generate` from operator/workspace_operator/metrics.py -->

# Metrics of the operator

On port 8080, `/metrics`, in Prometheus' text format, beside those of the process (`process_*`) and
of Python (`python_info`). No label carries the name of a Workspace, a user's text or a message, so
the number of series does not grow with the cluster. The one that holds the Lease shows the
cluster's state; the ones that stand by show 0. The models' metrics are in [server.md](server.md);
what the alerts mean in [operations.md](operations.md).

| metric | type | labels | meaning |
|---|---|---|---|
"""


def wrappers(metrics: Metrics | TuningMetrics) -> Iterator[MetricWrapperBase]:
    """Give every metric that the operator defines, in the order of the source."""
    for each in fields(metrics):
        held = getattr(metrics, each.name)
        if isinstance(held, MetricWrapperBase):
            yield held
        elif isinstance(held, TuningMetrics):
            yield from wrappers(held)


def labels(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Return the names of a metric's labels, for which the library has no public way."""
    return tuple(metric._labelnames)  # noqa: SLF001 - see above


def row(metric: MetricWrapperBase) -> str:
    """Return one line of the table."""
    (family,) = metric.describe()
    name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
    named = ", ".join(f"`{label}`" for label in labels(metric)) or "-"
    return f"| `{name}` | {family.type} | {named} | {family.documentation} |\n"


def page() -> str:
    """Return the page."""
    return HEAD + "".join(map(row, wrappers(Metrics())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("page", type=Path, help="the page to write")
    parser.parse_args().page.write_text(page())
