"""
What kubectl shows of a Workspace at every stage: walk through them, and write docs/stages.md.

Everything is real but the cloud, the kubelet and the model, which `tests.world` plays: the API
server, the chart's definition and policies, the operator's process, kubectl. Names of one life,
times and seconds are masked, so that the page changes only when what users read does.
"""

from tests.stages.masking import masked
from tests.stages.page import render
from tests.stages.walk import Shot, walk

__all__ = ["Shot", "masked", "render", "walk"]
