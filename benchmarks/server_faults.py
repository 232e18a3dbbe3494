"""
Time how the server bears faults: `python -m benchmarks.server_faults`.

Slow sockets beside good clients, the worst requests beside streams, clients that leave, an engine
that dies or hangs, servers replaced under load; `serving/faults.py` and `serving/neighbours.py` say
how each is played. Each figure stands beside its goal
(`serving/fault_gates.yaml`). Prints a table, and one JSON object last. About ten minutes, five of
which are the rolling update. What has no time in it is counted elsewhere:
`make server-fault-table`, `make abuse`.
"""

import argparse
import asyncio
import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.server import Bench, arguments_of, machine
from benchmarks.serving import engines, faults, neighbours, sweep
from benchmarks.serving.gates import judge, read_gates
from benchmarks.serving.report import gates_table

GATES = Path(__file__).parent / "serving" / "fault_gates.yaml"
PROMPT_TOKENS = 32


async def measure(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    """Play every scene."""
    place = bench.places["tiny"]
    prompts = bench.prompts(faults.CLIENTS, PROMPT_TOKENS)
    started = iter(range(10**6))

    def start() -> engines.Endpoint:
        log = bench.logs / f"faults-{next(started)}.log"
        return engines.start_ours(place, streams=64, threads=1, log=log)

    endpoint = start()
    endpoint.resume()
    try:
        sweep.tell("slow sockets")
        slow = await faults.slow_sockets(endpoint, prompts, arguments.repeats)
        sweep.tell("leavers")
        left = await faults.leavers(endpoint, prompts[0], arguments.repeats)
        beside = await neighbours.measure(endpoint, prompts, arguments.repeats)
    finally:
        endpoint.close()
    sweep.tell("broken engines")
    broken = await faults.broken_engines()
    sweep.tell("rolling update")
    update = await faults.rolling_update(
        start, prompts, seconds=arguments.update_seconds, every=arguments.every
    )
    return {
        "slow_sockets": slow,
        "leavers": left,
        "neighbours": beside,
        "broken_engines": broken,
        "rolling_update": update,
    }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description="How the server bears faults, in figures.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--update-seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=20, help="seconds between two replacements")
    arguments = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder:
        bench = Bench(arguments_of(["--quick"]), Path(folder))
        report = asyncio.run(measure(bench, arguments))
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    verdicts = judge(read_gates(GATES), report)
    print(gates_table(verdicts))
    gates = [{"goal": v.gate.name, "measured": v.measured, "met": v.met} for v in verdicts]
    head = {"benchmark": "server_faults", "date": date, "machine": about}
    print(json.dumps(head | report | {"gates": gates}))


if __name__ == "__main__":
    main()
