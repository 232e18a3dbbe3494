"""One control plane, one played world, one operator behind the proxy: where cases are played."""

import asyncio
import functools
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import ControlPlane
from tests.world import World, play
from tests.world.clock import WORLD
from tests.world.fault_proxy import FaultProxy, fault_proxy
from tests.world.history import History, following
from tests.world.operator_process import NAMESPACE, RELEASE, Operator
from tests.world.warm_start import WarmStart

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "garbage-collector-controller",
    "namespace-controller",
)


@dataclass(slots=True, kw_only=True)
class Bench:
    """Hold what cases share; there is no Lease, so that the next life need not wait for it."""

    plane: ControlPlane
    world: World
    proxy: FaultProxy
    history: History
    warm: WarmStart
    environment: dict[str, str]
    directory: Path
    operator: Operator = field(init=False)

    def __post_init__(self) -> None:
        direct = self.plane.kubeconfig_for(NAMESPACE, RELEASE)
        self.operator = Operator(
            kubeconfig=self.proxy.kubeconfig(direct, self.directory / "kubeconfig"),
            environment={**self.environment, "ATELIER_LEADER_ELECTION": "false"},
            log=self.directory / "operator.log",
            name="victim",
            launch=self.warm,
        )
        self.proxy.kill = lambda: self.operator.send(signal.SIGKILL)

    def run_by(self, scale: float) -> None:
        """Start the operator anew, in a time `scale` times as fast as ours."""
        if self.operator.runs:
            self.operator.stop()
        WORLD.accelerate(scale)
        self.operator.launch = functools.partial(self.warm, clock=WORLD)
        self.operator.start()

    async def make_team(self) -> str:
        """Make a namespace, with the account that a controller would make, and return its name."""
        team = f"test-{uuid.uuid4().hex[:8]}"
        await self.world.api.create("/api/v1/namespaces", {"metadata": {"name": team}})
        account = {"metadata": {"name": "default"}}
        await self.world.api.create(f"/api/v1/namespaces/{team}/serviceaccounts", account)
        return team

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Be the kubelet for the length of a `with`: an operator that ends is started again."""
        keeping = asyncio.create_task(self._keep_alive())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _keep_alive(self) -> None:
        while True:
            if not self.operator.runs:
                self.operator.start()
            await asyncio.sleep(0.05)

    async def dies(self) -> None:
        """Wait until the operator is dead."""
        while self.operator.runs:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_bench(
    plane: ControlPlane, environment: dict[str, str], directory: Path
) -> AsyncIterator[Bench]:
    """
    Play the world of a control plane whose controllers are `CONTROLLERS`.

    Args:
        plane: With the definitions of Karpenter and the chart.
        environment: What the chart sets for the operator.
        directory: For the log and the kubeconfig.
    """
    with WarmStart() as warm:
        async with (
            play(plane) as world,
            fault_proxy(plane) as proxy,
            following(world.api) as history,
        ):
            bench = Bench(
                plane=plane,
                world=world,
                proxy=proxy,
                history=history,
                warm=warm,
                environment=environment,
                directory=directory,
            )
            try:
                yield bench
            finally:
                WORLD.accelerate(1.0)
                if bench.operator.runs:
                    bench.operator.stop()
