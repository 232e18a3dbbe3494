"""Start and end the played world."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.cluster import ControlPlane
from tests.world.api import Api
from tests.world.cloud import Cloud
from tests.world.kubelet import Kubelet


@dataclass(slots=True)
class World:
    """What a test may turn while the operator works."""

    api: Api
    cloud: Cloud
    kubelet: Kubelet


@asynccontextmanager
async def play(plane: ControlPlane) -> AsyncIterator[World]:
    """Play cloud and kubelet of a control plane for the length of a `with`."""
    async with Api(plane) as api:
        world = World(api=api, cloud=Cloud(api), kubelet=Kubelet(api))
        tasks = [asyncio.create_task(world.cloud.run()), asyncio.create_task(world.kubelet.run())]
        try:
            yield world
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error
