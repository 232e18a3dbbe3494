"""Run an operator that nothing but its watches wakes: what a sweep would bring comes too late."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cluster import ControlPlane
from tests.world.api import Api
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, install


@asynccontextmanager
async def running(plane: ControlPlane, log: Path, **environment: str) -> AsyncIterator[Api]:
    """Run an operator for the length of a `with`, woken by nothing but its watches."""
    settings = install(plane, "cloud=kwok", "probe=readiness", "resyncSeconds=3600")
    operator = Operator(
        kubeconfig=plane.kubeconfig_for(NAMESPACE, RELEASE),
        environment=settings | environment,
        log=log,
    )
    operator.start()
    try:
        await operator.leads()
        async with Api(plane) as api:
            yield api
    finally:
        assert operator.stop() == 0
