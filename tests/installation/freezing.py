"""
Freeze today's version, so that tomorrow's is tried against it: `... freezing NAME`.

Writes tests/chart/upgrades/NAME: what the chart renders, and what today's operator, on a real API
server in a played world, asked of it for a few Workspaces until they were Ready. Done at a release,
with the heading `## [NAME]` in CHANGELOG.md. What is written is never written anew after that.
"""

import argparse
import asyncio
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.installation.chart import NAMESPACE, RELEASE
from tests.installation.earlier import KINDS, UPGRADES, hashed
from tests.world import World, play, workspaces
from tests.world.fault_proxy import FaultProxy, fault_proxy
from tests.world.operator_process import CHART, Operator, install

Manifest = dict[str, Any]

NAME, TEAM = "frozen-name", "frozen-namespace"
CONTROLLERS = ("deployment-controller", "replicaset-controller", "garbage-collector-controller")
QUIET_SECONDS = 3.0
CREATED = 201
HASH_OF_A_CLAIM = re.compile(r"\bws[0-9a-f]{15}\b")
DIGITS_OF_A_POD = re.compile(rf"\b{NAME}-[0-9a-f]{{6,10}}-[0-9a-z]{{5}}\b")
CHART_HEADER = (
    "# What this version's chart rendered with its default values. Frozen: never written anew.\n"
)
WORKSPACES_HEADER = """\
# A few Workspaces and what this version's operator kept for each, Ready: the manifests that it
# created, and its status. Names, namespace, UID and claims are `frozen-...`; a test puts live ones
# in their place and works the hashes out again. Frozen: never written anew.
"""


def shapes() -> dict[str, Manifest]:
    """Return the Workspaces that are frozen: one of each kind of object and of claim."""
    balanced = workspaces.workspace(TEAM, NAME, preset="mistral-7b", count=2)
    balanced["metadata"]["annotations"] = {
        "kaito.sh/enablelb": "True",
        "kaito.sh/node-image-family": "azurelinux",
    }
    balanced["inference"]["preset"]["presetOptions"] = {
        "imagePullSecrets": ["registry"],
        "modelAccessSecret": "hub",
    }
    unnamed = workspaces.workspace(TEAM, NAME, preset="tiny-mistral")
    del unnamed["resource"]["instanceType"]
    unnamed["inference"]["preset"]["presetOptions"] = {"image": "registry.example.com/tiny:1"}
    return {"plain": workspaces.workspace(TEAM, NAME), "balanced": balanced, "open": unnamed}


async def frozen(plane: ControlPlane, folder: Path) -> dict[str, Manifest]:
    """Let the operator make each shape, one after the other, and note what it asked for."""
    environment = install(plane)
    found = {}
    async with play(plane) as world, fault_proxy(plane) as proxy:
        through = proxy.kubeconfig(plane.kubeconfig_for(NAMESPACE, RELEASE), folder / "config")
        operator = Operator(kubeconfig=through, environment=environment, log=folder / "log")
        operator.start()
        await operator.leads()
        for shape, asked in shapes().items():
            proxy.log.clear()
            found[shape] = await _made(world, proxy, operator, asked)
            path = workspaces.path(TEAM, NAME)
            await world.api.delete(path)
            await workspaces.gone(world.api, path)
            await workspaces.gone(world.api, workspaces.deployment_path(TEAM, NAME))
        operator.stop()
    return found


async def _made(world: World, proxy: FaultProxy, operator: Operator, asked: Manifest) -> Manifest:
    created = await world.api.create(workspaces.path(TEAM), asked)
    await workspaces.in_phase(world.api, TEAM, NAME, "Ready")
    written = -1.0
    while written != (written := await operator.writes()):  # noqa: ASYNC110 (remote)
        await asyncio.sleep(QUIET_SECONDS)
    live = await workspaces.in_phase(world.api, TEAM, NAME, "Ready")
    children = [
        each.asked.body
        for each in proxy.log
        if each.asked.verb == "POST" and each.status == CREATED and "spec" in each.asked.body
    ]
    ordinals = [each["metadata"]["name"] for each in children if each["kind"] == "NodeClaim"]
    names = {created["metadata"]["uid"]: "frozen-uid"} | {
        name: f"frozen-claim-{number}" for number, name in enumerate(ordinals)
    }
    return _placeholders({"workspace": _bare(live), **_by_kind(children)}, names)


def _bare(live: Manifest) -> Manifest:
    """Keep of a live Workspace what a user or the operator wrote."""
    kept = {"name", "namespace", "annotations", "finalizers"}
    metadata = {key: value for key, value in live["metadata"].items() if key in kept}
    return {**live, "metadata": {"annotations": {}, **metadata}}


def _by_kind(children: list[Manifest]) -> Manifest:
    others = {each["kind"].lower(): each for each in children if each["kind"] != "NodeClaim"}
    if unknown := others.keys() - set(KINDS):
        raise RuntimeError(f"no place in workspaces.yaml for {sorted(unknown)}: give it one")
    if any(hashed(each) != each for each in others.values()):
        raise RuntimeError("hashes are worked out in another way now: earlier.py has to know both")
    return {"claims": [each for each in children if each["kind"] == "NodeClaim"], **others}


def _placeholders(made: Manifest, names: Mapping[str, str]) -> Manifest:
    text = json.dumps(made)
    for name, placeholder in names.items():
        text = text.replace(name, placeholder)
    if left := HASH_OF_A_CLAIM.findall(text):
        raise RuntimeError(f"claims without a placeholder: {left}")
    named: Manifest = json.loads(DIGITS_OF_A_POD.sub("frozen-pod", text))
    return {kind: hashed(each) if kind in KINDS else each for kind, each in named.items()}


def main(name: str) -> None:
    """Write the folder of one version."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        run_control_plane("freezing", controllers=CONTROLLERS) as plane,
    ):
        for definition in karpenter_crds():
            plane.apply(definition)
        plane.create_namespace(TEAM)
        rendered = plane.helm("template", RELEASE, str(CHART), "-n", NAMESPACE).stdout
        found = asyncio.run(frozen(plane, Path(scratch)))
    version = UPGRADES / name
    version.mkdir()
    manifests = [each for each in yaml.safe_load_all(rendered) if each]
    chart = yaml.safe_dump_all(manifests, sort_keys=False, width=100)
    (version / "chart.yaml").write_text(CHART_HEADER + chart)
    workspaces_text = yaml.safe_dump(found, sort_keys=False, width=100)
    (version / "workspaces.yaml").write_text(WORKSPACES_HEADER + workspaces_text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the version; the name of the folder that is made")
    main(parser.parse_args().name)
