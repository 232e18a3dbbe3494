"""Weights in an image volume: taken by a new API server, refused in words by one without them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from workspace_operator.cluster import ApiServer, Connection
from workspace_operator.plan import Plan, PlanError
from workspace_operator.template_trial import TemplateTrial, is_to_be_tried

from tests.builders import SETTINGS, planned, workspace
from tests.cluster import ControlPlane
from tests.cluster import control_plane as run_control_plane

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(120)]

SOURCE = "oci:registry.example/weights/mistral:1"


@pytest.fixture(scope="module")
def without_image_volumes() -> Iterator[ControlPlane]:
    """Run an API server as one that is older: the field is dropped there."""
    flag = "--feature-gates=ImageVolume=false"
    with run_control_plane(api_server_arguments=[flag]) as plane:
        yield plane


@asynccontextmanager
async def trial(plane: ControlPlane) -> AsyncIterator[TemplateTrial]:
    connection = Connection(str(plane.kubeconfig), on_answer=lambda: None)
    await connection.open()
    cluster = ApiServer(connection, guard=lambda: None, count_write=lambda _verb, _kind: None)
    try:
        yield TemplateTrial(cluster=cluster, settings=SETTINGS)
    finally:
        await connection.close()


async def judged(plane: ControlPlane) -> Plan | PlanError:
    name = plane.create_namespace()
    made = workspace(annotations={"atelier.dev/weights": SOURCE})
    made = made.model_copy(update={"namespace": name})
    async with trial(plane) as trying:
        return await trying.judge(made, planned(made), None)


async def test_a_new_api_server_takes_the_volume(control_plane: ControlPlane) -> None:
    found = await judged(control_plane)
    assert isinstance(found, Plan), found
    assert found.weights.text == SOURCE


async def test_an_old_one_is_told_before_a_node_is_bought(
    without_image_volumes: ControlPlane,
) -> None:
    found = await judged(without_image_volumes)
    assert isinstance(found, PlanError)
    assert found.reason == "ImageVolumeNotOffered"
    assert SOURCE in found.message
    assert "drops volumes[].image without a word" in found.message
    assert "image volumes need Kubernetes 1.35, else use fetch or pvc:CLAIM" in found.message


def test_only_what_may_be_refused_is_tried() -> None:
    tried = {
        source: is_to_be_tried(planned(workspace(annotations={"atelier.dev/weights": source})))
        for source in ("image", "fetch", "pvc:models", SOURCE)
    }
    assert tried == {"image": False, "fetch": False, "pvc:models": False, SOURCE: True}
