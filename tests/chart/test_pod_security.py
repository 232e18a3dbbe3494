"""
Every pod of ours passes Pod Security "restricted", as the API server itself judges it.

The judge is a namespace that enforces the level, asked by server-side dry run. The mutants show
that it would object.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workspace_operator.api import parse
from workspace_operator.objects.deployment import pod_template
from workspace_operator.plan import PlanError, plan, plan_template
from workspace_operator.settings import Cloud, NodeProvisioner, Settings

from tests.builders import BYO, CATALOG, SETTINGS
from tests.cluster import ControlPlane
from tests.installation import CHART, RELEASE_VALUES, install_chart, render_chart
from tests.workspaces.fuzzed import fuzzed
from tests.world.api import WORKSPACES, Api, ApiError

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.timeout(180),
]

Manifest = dict[str, Any]
MANY = 500
AT_ONCE = 16


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    async with Api(control_plane) as api:
        yield api


@pytest.fixture
def restricted(control_plane: ControlPlane, namespace: str) -> str:
    control_plane.kubectl(
        *("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    return namespace


async def objection(api: Api, template: Manifest, namespace: str) -> str:
    """Ask, as a trial, for the pod of a template; return what the API server says against it."""
    metadata = {**template.get("metadata", {}), "name": "trial", "namespace": namespace}
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    try:
        await api.create(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)
    except ApiError as error:
        return str(error)
    return ""


CHARTS: dict[str, tuple[dict[str, object], tuple[Path, ...]]] = {
    "as it is": ({}, ()),
    "a release": ({}, (RELEASE_VALUES,)),
    "own nodes and presets": (
        {"nodeProvisioner": "byo", "presets": {"mine.yaml": "name: mine\n"}, "logLevel": "debug"},
        (RELEASE_VALUES,),
    ),
    "other ports and places": (
        {"metrics__port": 9000, "health__port": 9001, "tolerations": [{"operator": "Exists"}]},
        (),
    ),
}


def test_every_values_file_is_among_the_charts() -> None:
    used = {CHART / "values.yaml", *(path for _, files in CHARTS.values() for path in files)}
    assert set(CHART.glob("values*.yaml")) == used


@pytest.mark.parametrize("case", CHARTS.values(), ids=CHARTS.keys())
async def test_the_operators_pod_is_restricted(
    case: tuple[dict[str, object], tuple[Path, ...]], api: Api, restricted: str
) -> None:
    values, files = case
    templates = [
        each["spec"]["template"]
        for each in render_chart(values, files=files)
        if "template" in each.get("spec", {})
    ]

    assert templates
    assert [await objection(api, each, restricted) for each in templates] == [""] * len(templates)


def spoil(*path: str | int, value: object = None) -> Callable[[Manifest], None]:
    """Set a field of a pod's spec, or take it away."""

    def change(spec: Manifest) -> None:
        inner: Any = spec
        for key in path[:-1]:
            inner = inner[key] if isinstance(key, int) else inner.setdefault(key, {})
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value

    return change


MUTANTS = {
    "root": spoil("securityContext", "runAsUser", value=0),
    "perhaps root": spoil("securityContext", "runAsNonRoot"),
    "no seccomp": spoil("securityContext", "seccompProfile"),
    "escalation": spoil("containers", 0, "securityContext", "allowPrivilegeEscalation"),
    "capabilities": spoil("containers", 0, "securityContext", "capabilities"),
    "one more capability": spoil(
        *("containers", 0, "securityContext", "capabilities", "add"), value=["SYS_PTRACE"]
    ),
    "privileged": spoil("containers", 0, "securityContext", value={"privileged": True}),
    "the node's processes": spoil("hostPID", value=True),
    "the node's memory": spoil("hostIPC", value=True),
    "the node's network": spoil("hostNetwork", value=True),
    "the node's disk": spoil(
        *("volumes", 0), value={"name": "tmp", "hostPath": {"path": "/", "type": ""}}
    ),
}


@pytest.mark.parametrize("change", MUTANTS.values(), ids=MUTANTS.keys())
async def test_the_judge_objects_to_a_mutant(
    change: Callable[[Manifest], None], api: Api, restricted: str
) -> None:
    (theirs,) = (each for each in render_chart() if each["kind"] == "Deployment")
    ours = template_of(fuzzed(0, restricted) | {"inference": {"preset": {"name": "tiny-mistral"}}})
    assert ours is not None
    for template in (theirs["spec"]["template"], ours):
        mutant = copy.deepcopy(template)
        change(mutant["spec"])

        assert await objection(api, template, restricted) == ""
        assert 'violates PodSecurity "restricted' in await objection(api, mutant, restricted)


VARIANTS = (
    SETTINGS,
    BYO,
    replace(SETTINGS, cloud=Cloud.AWS),
    replace(SETTINGS, cloud=Cloud.GCP, node_provisioner=NodeProvisioner.BYO),
)


def template_of(body: Manifest, settings: Settings = BYO) -> Manifest | None:
    """Return the pod template that the operator makes, or None where the plan refuses."""
    workspace = parse(body)
    inference = workspace.inference
    try:
        if inference is None or inference.preset is None:
            decided = plan_template(workspace, settings)
        else:
            decided = plan(workspace, CATALOG.get(inference.preset.name), settings)
    except PlanError:
        return None
    return pod_template(workspace, decided, settings)


async def test_the_pods_of_workspaces_that_nobody_thought_of_are_restricted(
    control_plane: ControlPlane, api: Api, restricted: str
) -> None:
    install_chart(control_plane)
    path = f"{WORKSPACES}/namespaces/{restricted}/workspaces?dryRun=All&fieldValidation=Strict"
    turn = asyncio.Semaphore(AT_ONCE)

    async def judge(number: int) -> tuple[bool, str | None]:
        """Say whether the Workspace is valid, and what is said against its pod, if it has one."""
        body = fuzzed(number, restricted)
        async with turn:
            try:
                stored = await api.create(path, body)
            except ApiError:
                return False, None
            template = template_of(stored, VARIANTS[number % len(VARIANTS)])
            if template is None:
                return True, None
            return True, await objection(api, template, restricted)

    verdicts = await asyncio.gather(*(judge(number) for number in range(MANY)))

    objections = {number: said for number, (_, said) in enumerate(verdicts) if said}
    assert objections == {}
    assert sum(valid for valid, _ in verdicts) > MANY // 2
    assert sum(said == "" for _, said in verdicts) > MANY // 3
