"""The page of stages is what kubectl prints today."""

import pytest

from tests.cluster import ControlPlane
from tests.stages import render, walk
from tests.world import World
from tests.world.operator_process import ROOT, Operator

PAGE = ROOT / "docs" / "stages.md"

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),  # eleven stages, each until it rests
]


async def test_the_page_of_stages_is_up_to_date(
    operator: Operator, world: World, populated: ControlPlane
) -> None:
    """`make stages` writes it."""
    shots = await walk(populated, world)

    assert len(shots) >= 10
    assert PAGE.read_text(encoding="utf-8") == render(shots)
    assert operator.runs
