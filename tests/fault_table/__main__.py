"""
Play every death of every situation, write the table in the README, and print a JSON object.

    python -m tests.fault_table            (or: make fault-table)

With `--check` nothing is written. Exit code 1 if an oracle objected to anything.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import ControlPlane, control_plane, karpenter_crds
from tests.fault_table.bench import CONTROLLERS, Bench, open_bench
from tests.fault_table.cases import Case, close, play_case, play_reference, quiet_seconds, take_away
from tests.fault_table.scenarios import SCENARIOS, Scenario
from tests.fault_table.table import Row, machine, put_into, rows_of, summary
from tests.world.operator_process import install

README = Path(__file__).parents[2] / "README.md"


def tell(line: str) -> None:
    """Say how far it is, on stderr: stdout is for the result."""
    sys.stderr.write(line + "\n")


async def deaths_of(bench: Bench, scenario: Scenario) -> list[Case]:
    """Die before and after every write of a situation."""
    bench.run_by(scenario.scale)
    reference = await play_reference(bench, scenario)
    tell(f"{scenario.name}: {len(reference.writes)} writes")
    waiting: list[Case] = []
    closed: list[Case] = []
    for at in range(1, len(reference.writes) + 1):
        for moment in ("before", "after"):
            case = await play_case(bench, reference, at, moment)
            if case.write:
                waiting.append(case)
            else:
                tell(f"  {case}: there was no such write this time")
                await take_away(bench, case.team)
            quiet = quiet_seconds(scenario)
            while waiting and time.monotonic() > waiting[0].ended_at + quiet:
                closed.append(await judged(bench, waiting.pop(0)))
    closed += [await judged(bench, case) for case in waiting]
    for case in closed:
        bench.history.forget(case.team)
    return closed


async def judged(bench: Bench, case: Case) -> Case:
    """Close a case and say what came of it."""
    await close(bench, case)
    tell(f"  {case}: {case.seconds:.1f} s {case.objections or ''}")
    return case


async def play_all(plane: ControlPlane, scenarios: Iterable[Scenario]) -> list[Row]:
    """Play the situations one after the other."""
    environment = install(plane)
    with tempfile.TemporaryDirectory() as directory:
        async with open_bench(plane, environment, Path(directory)) as bench:
            cases = [case for each in scenarios for case in await deaths_of(bench, each)]
    return rows_of(cases)


def main() -> int:
    """Play, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--check", action="store_true", help="leave the README as it is")
    parser.add_argument(
        "--only",
        choices=[each.name for each in SCENARIOS],
        metavar="SITUATION",
        help="play one, by its name; implies --check",
    )
    arguments = parser.parse_args()
    chosen = [each for each in SCENARIOS if arguments.only in {None, each.name}]
    with control_plane(controllers=CONTROLLERS) as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        rows = asyncio.run(play_all(plane, chosen))
    if not (arguments.check or arguments.only):
        README.write_text(put_into(README.read_text(), rows, machine()))
    print(json.dumps(summary(rows, machine()), indent=2))  # noqa: T201 - the result
    return 0 if all(row.passed == row.deaths for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
