"""
Run the operator by another clock: faster than ours, or ahead of it.

An hour without capacity is an hour of waiting for nothing. Here every pause that the operator makes
takes a `scale`-th of its time, and the wall clock that it writes down and compares goes `scale`
times as fast (`clock.py`). Time-outs stay what they are, since the API
server and the models are no faster. Nothing else is another program: the settings, the catalog and
`run` are those of `python -m workspace_operator`.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import TypeVarTuple

from model_presets.catalog import load_catalog
from workspace_operator import logs
from workspace_operator.__main__ import main
from workspace_operator.cluster.connection import NoCredentials
from workspace_operator.lease import LeaseLost
from workspace_operator.run import BadStart, run
from workspace_operator.settings import Settings

from tests.world.clock import Clock

Ts = TypeVarTuple("Ts")

__all__ = ["FastLoop", "main", "run_by_another_clock"]


class FastLoop(asyncio.SelectorEventLoop):
    """
    Be an event loop on which a pause takes a `scale`-th of its time.

    `asyncio.sleep` and the work queue's timers go by `call_later`; time-outs (`asyncio.timeout`,
    and aiohttp's) by `call_at`, which is left alone.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        super().__init__()

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_later(delay / self._scale, callback, *args, context=context)


def run_by_another_clock(clock: Clock) -> int:
    """Run the operator as its `main` does, and return the exit code; `main` has the rest."""
    settings = Settings.from_environment(os.environ)  # noqa: TID251 - stands for __main__
    settings = replace(settings, pod_name=settings.pod_name or socket.gethostname())
    catalog = load_catalog(settings.preset_directory)
    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=lambda: FastLoop(clock.scale)) as runner:
            runner.run(run(settings, catalog, clock=clock))
    except (BadStart, LeaseLost, NoCredentials) as error:
        sys.stderr.write(f"workspace_operator: {error}\n")
        return 1
    return 0
