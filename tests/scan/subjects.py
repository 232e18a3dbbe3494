"""
Say what is reviewed: the chart in three shapes.

The chart comes with the values of a release, because a review of tags says nothing about what runs.
"""

from collections.abc import Mapping
from typing import Any

from tests.installation import RELEASE_VALUES, render_chart

Manifest = dict[str, Any]

EVERYTHING: Mapping[str, object] = {
    "nodeProvisioner": "byo",
    "presets": {"mine.yaml": "name: mine\n"},
    "networkPolicy__metricsFrom": [{"namespaceSelector": {}}],
    "networkPolicy__apiServerRanges": ["10.0.0.1/32"],
}


def subjects() -> dict[str, list[Manifest]]:
    """Return the manifests to review, by a name for people."""
    return {
        "chart": render_chart(files=[RELEASE_VALUES]),
        "chart, everything on": render_chart(EVERYTHING, files=[RELEASE_VALUES]),
        "chart, one pod": render_chart({"replicaCount": 1}, files=[RELEASE_VALUES]),
    }
