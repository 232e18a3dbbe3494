"""Walk through the stages on a cluster of one's own, and write the page: `make stages`."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.cluster import control_plane, karpenter_crds
from tests.stages import render, walk
from tests.world import play
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, install

CONTROLLERS = ("deployment-controller", "replicaset-controller", "garbage-collector-controller")


async def look() -> str:
    """Return the page."""
    with control_plane(controllers=CONTROLLERS) as plane, tempfile.TemporaryDirectory() as folder:
        for definition in karpenter_crds():
            plane.apply(definition)
        environment = install(plane)
        async with play(plane) as world:
            operator = Operator(
                kubeconfig=plane.kubeconfig_for(NAMESPACE, RELEASE),
                environment=environment,
                log=Path(folder) / "log",
            )
            operator.start()
            try:
                await operator.leads()
                return render(await walk(plane, world))
            finally:
                operator.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("page", type=Path, help="the page to write")
    parser.parse_args().page.write_text(asyncio.run(look()), encoding="utf-8")
