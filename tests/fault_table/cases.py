"""
Play one situation with one death in it, and judge what came of it.

The state is compared with the reference every moment from the restart on; when it is reached is the
time to converge. The silence after that is judged only when the case is closed, at least
`quiet_seconds` later: until then its objects stay, while other cases kill the operator over and
over.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from tests.fault_table.bench import Bench
from tests.fault_table.scenarios import Scenario, Stage
from tests.world.fault_rules import Asked, Kill, Moment, Rule
from tests.world.history import History, Revision
from tests.world.oracles import (
    dishonest_statuses,
    end_state,
    late_writes,
    repeated_announcements,
    tally,
    too_many_claims,
)
from tests.world.oracles.end_state import difference
from tests.world.oracles.quiet import concerns
from tests.world.oracles.tally import Tally

CONVERGE_SECONDS = 15.0
PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 10.0
LEAST_QUIET_SECONDS = 3.0
# An event follows the status that it announces.
LAST_WORD_SECONDS = 2.0
SETTLED_SECONDS = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Hold a run without faults: its end, its counts, its writes."""

    scenario: Scenario
    end: dict[str, Any]
    counts: Tally
    writes: tuple[Asked, ...]


@dataclass(slots=True, kw_only=True)
class Case:
    """
    Hold one death and what came of it.

    Attributes:
        reference: What it is compared with.
        at: Which write, from 1.
        moment: Before it reached the API server, or after.
        team: The namespace.
        write: The write at which the operator died; nothing if there was no such write.
        seconds: From the restart to the end state; infinite if that was never reached.
        ended_at: When that was, on the monotonic clock.
        verdicts: Oracle to what it objects to, once the case is closed.
    """

    reference: Reference
    at: int
    moment: Moment
    team: str
    write: str = ""
    seconds: float = float("inf")
    ended_at: float = 0.0
    verdicts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def objections(self) -> dict[str, list[str]]:
        """Return the oracles that object, and to what."""
        return {oracle: found for oracle, found in self.verdicts.items() if found}

    def __str__(self) -> str:
        """Name the death."""
        return (
            f"{self.reference.scenario.name}, killed {self.moment} write {self.at} ({self.write})"
        )


async def play_reference(bench: Bench, scenario: Scenario) -> Reference:
    """Play a situation without a fault."""
    stage, _ = await _set_up(bench, scenario)
    first = len(bench.proxy.log)
    await asyncio.gather(scenario.act(stage), scenario.reached(stage))
    for _ in range(3):
        await _silence(bench, stage.team)
    await bench.history.caught_up()
    revisions = bench.history.of(stage.team)
    claims = bench.history.claim_names(stage.team)
    reference = Reference(
        scenario=scenario,
        end=end_state(revisions, stage.team, forgiven=scenario.forgiven),
        counts=tally(revisions, alike=scenario.machines_are_alike),
        writes=tuple(
            each.asked
            for each in bench.proxy.log[first:]
            if each.asked.is_write and concerns(each.asked, stage.team, claims)
        ),
    )
    faults = too_many_claims(revisions) + _statuses(bench, revisions)
    assert faults == [], f"{scenario.name}, without any fault: {faults}"
    await take_away(bench, stage.team)
    return reference


async def play_case(bench: Bench, reference: Reference, at: int, moment: Moment) -> Case:
    """Play a situation with a death at one of its writes; judging it is left to `close`."""
    stage, concerned = await _set_up(bench, reference.scenario)
    case = Case(reference=reference, at=at, moment=moment, team=stage.team)
    rule = Rule(
        action=Kill(),
        picks=lambda asked: asked.is_write and concerned(asked),
        nth=at,
        moment=moment,
    )
    with bench.proxy.obeying(rule):
        acting = asyncio.ensure_future(reference.scenario.act(stage))
        await _either(bench.dies(), _reached(bench, case))
        if not rule.done:
            # The last write may change only what the comparison masks.
            await _either(bench.dies(), asyncio.sleep(LAST_WORD_SECONDS))
        if rule.done:
            await bench.dies()
            case.write = reference_name(reference, at)
            began = time.monotonic()
            bench.operator.start()
            await _reached(bench, case)
            case.seconds = case.ended_at - began if case.ended_at else float("inf")
        await asyncio.wait([acting], timeout=PATIENCE_SECONDS)
    acting.result()
    return case


def reference_name(reference: Reference, at: int) -> str:
    """Say in a word what the n-th write of a situation is."""
    if at > len(reference.writes):
        return "one more than the reference has"
    asked = reference.writes[at - 1]
    status = "/status" if asked.path.endswith("/status") else ""
    return f"{asked.verb} {asked.plural}{status}"


async def close(bench: Bench, case: Case) -> Case:
    """Judge a case, when it has been quiet for long enough, and take its objects away."""
    reference = case.reference
    left = case.ended_at + quiet_seconds(reference.scenario) - time.monotonic()
    if case.ended_at and left > 0:
        await asyncio.sleep(left)
    await bench.history.caught_up()
    revisions = bench.history.of(case.team)
    claims = bench.history.claim_names(case.team)
    slow = [f"{case.seconds:.1f} s"] if case.seconds > CONVERGE_SECONDS else []
    case.verdicts = {
        "E": difference(reference.end, _end(revisions, case)),
        "C": difference(_plain(reference.counts), _plain(_counts(revisions, case))),
        "Q": late_writes(bench.proxy.log, case.ended_at + LAST_WORD_SECONDS, case.team, claims)
        if case.ended_at
        else [],
        "S": _statuses(bench, revisions),
        "G": too_many_claims(revisions),
        "within 15 s": slow,
    }
    await take_away(bench, case.team)
    return case


def quiet_seconds(scenario: Scenario) -> float:
    """Return how long to listen, in our time: ten seconds of the operator's or more."""
    return LAST_WORD_SECONDS + max(LEAST_QUIET_SECONDS, QUIET_SECONDS / scenario.scale)


def _end(revisions: list[Revision], case: Case) -> dict[str, Any]:
    return end_state(revisions, case.team, forgiven=case.reference.scenario.forgiven)


def _counts(revisions: list[Revision], case: Case) -> Tally:
    return tally(revisions, alike=case.reference.scenario.machines_are_alike)


def _plain(counts: Tally) -> dict[str, int]:
    return {" ".join(key): number for key, number in counts.items()}


def _statuses(bench: Bench, revisions: list[Revision]) -> list[str]:
    def served(revision: Revision) -> bool:
        return bench.world.kubelet.served(revision.team) > 0

    return [*dishonest_statuses(revisions, served), *repeated_announcements(revisions)]


async def _set_up(bench: Bench, scenario: Scenario) -> tuple[Stage, "Concerned"]:
    team = await bench.make_team()
    stage = Stage(bench=bench, team=team)
    await scenario.prepare(stage)
    await _silence(bench, team)
    return stage, Concerned(bench.history, team)


@dataclass(frozen=True, slots=True)
class Concerned:
    """Tell of a request whether it is about one namespace."""

    history: History
    team: str

    def __call__(self, asked: Asked) -> bool:
        """Tell it."""
        return concerns(asked, self.team, self.history.claim_names(self.team))


async def _reached(bench: Bench, case: Case) -> None:
    """
    Wait for the reference's end state, and note when it came.

    The counts keep it apart from the state before, which may look the same: a node was replaced.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        revisions = bench.history.of(case.team)
        if _counts(revisions, case) >= case.reference.counts and (
            _end(revisions, case) == case.reference.end
        ):
            case.ended_at = time.monotonic()
            return
        await asyncio.sleep(0.05)


async def _either(*waits: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _silence(bench: Bench, team: str) -> None:
    """Wait until nothing has happened in a namespace for a while."""
    known = -1
    while (seen := len(bench.history.of(team))) != known:
        known = seen
        await asyncio.sleep(SETTLED_SECONDS)


async def take_away(bench: Bench, team: str) -> None:
    """Delete a namespace with all that is in it, and do not wait for that."""
    await bench.world.api.delete(f"/api/v1/namespaces/{team}")
