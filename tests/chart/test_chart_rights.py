"""
Run the operator with the chart's own account and environment, and hold its rights to its requests.

The API server's audit log is the witness: nothing that the operator asked for was forbidden, and
nothing that the chart grants was never asked for.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace_operator.objects.metadata import MANAGED_BY, MANAGED_BY_LABEL
from workspace_operator.objects.network_policy import policy_name

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.cluster.ports import free_ports
from tests.installation import NAMESPACE, install_chart, render_chart
from tests.workspaces import INFERENCE, TUNING
from tests.world import Api, play

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.timeout(180),
]

Manifest = dict[str, Any]
Right = tuple[str, str]
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:atelier"
NAME = "mistral"
VALUES = {"probeIntervalSeconds": 1, "resyncSeconds": 2}


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    return tmp_path / "audit.jsonl"


@pytest.fixture
def plane(audit_log: Path) -> Iterator[ControlPlane]:
    with run_control_plane(
        controllers=("deployment-controller", "replicaset-controller"),
        api_server_arguments=(
            f"--audit-policy-file={audit_log.with_name('policy.json')}",
            f"--audit-log-path={audit_log}",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        ),
    ) as plane:
        for path in karpenter_crds():
            plane.apply(path)
        yield plane


@contextlib.asynccontextmanager
async def operator(kubeconfig: Path) -> AsyncIterator[None]:
    """Run the operator as the chart would, but outside of the cluster."""
    (deployment,) = (each for each in render_chart(VALUES) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    health, metrics = free_ports(2)
    environment = {each["name"]: each.get("value", "") for each in container["env"]} | {
        "ATELIER_NAMESPACE": NAMESPACE,
        "ATELIER_POD_NAME": "test",
        "ATELIER_HEALTH_PORT": str(health),
        "ATELIER_METRICS_PORT": str(metrics),
        "KUBECONFIG": str(kubeconfig),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workspace_operator"),
        env=os.environ | environment,  # noqa: TID251 (a child needs PATH and HOME)
    )
    try:
        yield
        assert process.returncode is None, "the operator ended by itself"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until(api: Api, path: str, holds: Callable[[Manifest | None], bool]) -> None:
    """Wait until an object is as it should be."""
    async with asyncio.timeout(60):
        while not holds(await api.get(path)):  # noqa: ASYNC110 (another process makes it so)
            await asyncio.sleep(0.1)


def succeeded(workspace: Manifest | None) -> bool:
    conditions = (workspace or {}).get("status", {}).get("conditions", [])
    return any(
        each["type"] == "WorkspaceSucceeded" and each["status"] == "True" for each in conditions
    )


def has_rolled_out(deployment: Manifest | None) -> bool:
    """Say whether the pods run what the ConfigMap says; the try may be too short to be seen."""
    return "--max-sequences=4" in json.dumps((deployment or {}).get("spec", {}))


def is_managed(child: Manifest | None) -> bool:
    labels = (child or {}).get("metadata", {}).get("labels", {})
    return bool(labels.get(MANAGED_BY_LABEL) == MANAGED_BY)


async def live(plane: ControlPlane, kubeconfig: Path) -> None:
    """Let one Workspace come up, lose a label of each of its objects, and go; another trains."""
    namespace = plane.create_namespace()
    workspaces = f"/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces"
    workspace = f"{workspaces}/{NAME}"
    children = (
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}",
        f"/api/v1/namespaces/{namespace}/services/{NAME}",
        f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{policy_name(NAME)}",
    )
    async with play(plane) as world, operator(kubeconfig):
        metadata = {"name": NAME, "namespace": namespace}
        config = {"metadata": metadata, "data": {"inference_config.yaml": "server: {}"}}
        await world.api.create(f"/api/v1/namespaces/{namespace}/configmaps", config)
        inference = INFERENCE["inference"] | {"config": NAME}
        await world.api.create(
            workspaces, INFERENCE | {"metadata": metadata, "inference": inference}
        )
        await until(world.api, workspace, succeeded)
        tuned = {"data": {"inference_config.yaml": "server: {max-sequences: 4}"}}
        await world.api.merge(f"/api/v1/namespaces/{namespace}/configmaps/{NAME}", tuned)
        await until(world.api, children[0], has_rolled_out)
        await until(world.api, workspace, succeeded)
        for child in children:
            await world.api.merge(child, {"metadata": {"labels": {MANAGED_BY_LABEL: "somebody"}}})
            await until(world.api, child, is_managed)
        await world.api.delete(workspace)
        await until(world.api, workspace, lambda found: found is None)
        job = f"/apis/batch/v1/namespaces/{namespace}/jobs/{NAME}"
        await world.api.create(workspaces, TUNING | {"metadata": metadata})
        await until(world.api, job, lambda found: found is not None)
        await world.api.delete(workspace)
        await until(world.api, workspace, lambda found: found is None)


def asked_for(audit_log: Path) -> tuple[set[Right], set[str]]:
    """Read what the operator asked for, and what of it was forbidden."""
    rights, forbidden = set(), set()
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        what = event.get("objectRef", {})
        if event["user"]["username"] != ACCOUNT or "resource" not in what:
            continue
        resource = "/".join(
            filter(None, (what.get("apiGroup"), what["resource"], what.get("subresource")))
        )
        rights.add((event["verb"], resource))
        if event.get("responseStatus", {}).get("code") == 403:
            forbidden.add(f"{event['verb']} {event['requestURI']}")
    return rights, forbidden


def granted() -> set[Right]:
    return {
        (verb, "/".join(filter(None, (group, resource))))
        for role in render_chart(VALUES)
        if role["kind"] in {"ClusterRole", "Role"}
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_rights_and_requests_are_the_same(plane: ControlPlane, audit_log: Path) -> None:
    kubeconfig = install_chart(plane, VALUES)

    await live(plane, kubeconfig)

    rights, forbidden = asked_for(audit_log)
    assert forbidden == set()
    assert rights - granted() == set()
    assert granted() - rights == set()
