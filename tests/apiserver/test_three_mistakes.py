"""
Make the three mistakes of a new user, with kubectl, against the chart and the real Karpenter.

Each is answered within seconds by a sentence that says what to do: one at the door, two by a
condition, since a cloud may have machines that nobody here knows.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane, karpenter
from tests.cluster import control_plane as run_control_plane
from tests.world import Api, workspaces
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, install

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(180)]

SECONDS = 10.0


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with run_control_plane() as plane, karpenter(plane):
        yield plane


@pytest_asyncio.fixture
async def operator(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Operator]:
    environment = install(plane, "cloud=kwok")
    kubeconfig = plane.kubeconfig_for(NAMESPACE, RELEASE)
    operator = Operator(kubeconfig=kubeconfig, environment=environment, log=tmp_path / "log")
    operator.start()
    await operator.leads()
    yield operator
    assert operator.stop() == 0


async def test_each_is_answered_by_a_sentence_that_says_what_to_do(
    plane: ControlPlane, operator: Operator
) -> None:
    team = plane.create_namespace()
    async with Api(plane) as api:

        async def answered(name: str, reason: str, **resource: str) -> str:
            made = workspaces.workspace(team, name, **resource)
            plane.kubectl("apply", "-f", "-", text=json.dumps(made))
            applied = time.monotonic()
            found = await workspaces.with_reason(api, team, name, reason)
            assert time.monotonic() - applied < SECONDS
            return str(workspaces.condition(found, "Ready")["message"])

        misspelt = workspaces.workspace(team, "typo", preset="mistral-7b-instuct")
        refused = plane.kubectl("apply", "-f", "-", text=json.dumps(misspelt), check=False)
        assert refused.returncode != 0
        assert "did you mean mistral-7b-instruct" in refused.stderr

        unknown = await answered("unknown", "LaunchFailed", instanceType="Standard_NC24ad_A100_v4")
        assert "did you mean Standard_NC24ads_A100_v4" in unknown
        assert "delete this Workspace and apply one with the right type" in unknown

        small = await answered("small", "MemoryDoesNotFit", instanceType="Standard_NC4as_T4_v3")
        assert "1 x T4" in small
        assert "use resource.instanceType" in small or "use a GPU with at least" in small
        assert "delete this Workspace and apply one with another type" in small
        assert await workspaces.claims(api, team, "small") == []
    assert operator.runs
