"""
The operator is killed at its writes, and nobody can tell from what comes of it (goal G1).

Here each situation dies at the writes that cost most when they go wrong: those about machines and
finalizers, and the first of each other kind. `make fault-table` kills at all of them.
"""

import pytest

from tests.fault_table import SCENARIOS, Bench, Scenario, play_case, play_reference
from tests.fault_table.cases import CONVERGE_SECONDS, Case, close
from tests.fault_table.choice import telling_deaths

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]


EACH = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture(scope="module")
def played() -> dict[str, list[Case]]:
    """Hold the cases of each scenario between its two tests, while silence is listened to."""
    return {}


async def deaths(bench: Bench, scenario: Scenario, played: dict[str, list[Case]]) -> list[Case]:
    """
    Play a scenario once per death, unless that was done.

    What was played in a faster time is closed in it.
    """
    if scenario.name not in played:
        bench.run_by(scenario.scale)
        reference = await play_reference(bench, scenario)
        played[scenario.name] = [
            await play_case(bench, reference, at, moment)
            for at, moment in telling_deaths(reference)
        ]
        if scenario.scale != 1.0:
            played[scenario.name] = [await close(bench, case) for case in played[scenario.name]]
    return played[scenario.name]


@EACH
async def test_the_next_life_gets_there_in_time(
    bench: Bench, scenario: Scenario, played: dict[str, list[Case]]
) -> None:
    cases = await deaths(bench, scenario, played)
    assert cases
    assert [str(case) for case in cases if not case.write] == [], "there was no such write"
    assert {str(case): case.seconds for case in cases if case.seconds > CONVERGE_SECONDS} == {}


@EACH
async def test_and_nobody_can_tell_that_there_was_another(
    bench: Bench, scenario: Scenario, played: dict[str, list[Case]]
) -> None:
    cases = await deaths(bench, scenario, played)
    cases = [case if case.verdicts else await close(bench, case) for case in cases]
    for case in cases:
        assert case.objections == {}, str(case)
