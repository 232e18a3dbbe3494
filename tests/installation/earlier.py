"""
Install an earlier version of the chart, and leave in the cluster what its operator left there.

`tests/chart/upgrades/` has a folder per version, frozen on the day: what the chart rendered, and
the objects that its operator kept for a few Workspaces that were Ready. Their names, UID and claims
are placeholders; live ones are put in their place here, and the hashes worked out again in the way
of that day, which is written down here once more on purpose: an operator that comes to count in
another way would buy every machine twice.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.installation.chart import CHART

Manifest = dict[str, Any]

UPGRADES = Path(__file__).parents[1] / "chart" / "upgrades"
VERSIONS = tuple(sorted(UPGRADES.iterdir()))
APPLIED = frozenset({"milestone-1"})  # whose operator made objects by apply; later ones create them
KINDS = ("deployment", "service", "networkpolicy")  # of which a Workspace has one each, at most
DESIRED_HASH = "atelier.kaito.sh/desired-hash"
CONFIG_HASH = "atelier.kaito.sh/config-hash"


def earlier_chart(version: Path, folder: Path) -> Path:
    """Make a chart that renders what the earlier one did, whatever its values."""
    description = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(description | {"version": "0.0.1"}))
    rendered = (version / "chart.yaml").read_text()
    assert "{{" not in rendered, "Helm would read it as a template"
    (folder / "templates" / "all.yaml").write_text(rendered)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Hold what an earlier operator left for one Workspace."""

    workspace: Manifest
    status: Manifest
    children: tuple[Manifest, ...]


def was_applied(version: Path) -> bool:
    """Say whether that version's operator made its objects by server-side apply."""
    return version.name in APPLIED


def shapes(version: Path) -> list[str]:
    """Name the Workspaces that were frozen."""
    return list(_frozen(version))


def workspace_of(version: Path, shape: str, *, name: str, namespace: str) -> Manifest:
    """Return a frozen Workspace under another name, without status."""
    frozen = _frozen(version)[shape]["workspace"]
    workspace = _renamed(frozen, {"frozen-name": name, "frozen-namespace": namespace})
    del workspace["status"]
    return workspace


def left_for(version: Path, shape: str, live: Manifest) -> Left:
    """Return what the earlier operator would have made for a Workspace that is there."""
    frozen = _frozen(version)[shape]
    metadata = live["metadata"]
    names = {
        "frozen-name": metadata["name"],
        "frozen-namespace": metadata["namespace"],
        "frozen-uid": metadata["uid"],
    }
    key = "/".join(names[each] for each in ("frozen-namespace", "frozen-name", "frozen-uid"))
    for ordinal, _ in enumerate(frozen["claims"]):
        digits = hashlib.sha256(f"{key}/{ordinal}/0".encode()).hexdigest()[:15]
        names[f"frozen-claim-{ordinal}"] = f"ws{digits}"
    made = _renamed(frozen, names)
    objects = (hashed(made[kind]) for kind in KINDS if kind in made)
    children = (*made["claims"], *objects)
    return Left(workspace=live, status=made["workspace"]["status"], children=children)


def frozen_hashes(version: Path) -> Iterator[tuple[Manifest, Manifest]]:
    """Give each frozen object beside the same with its hashes worked out here."""
    for frozen in _frozen(version).values():
        for kind in KINDS:
            if kind in frozen:
                yield frozen[kind], hashed(frozen[kind])


def _frozen(version: Path) -> Manifest:
    found: Manifest = yaml.safe_load((version / "workspaces.yaml").read_text())
    return found


def _renamed(manifest: Manifest, names: dict[str, str]) -> Manifest:
    text = json.dumps(manifest)
    for placeholder in sorted(names, key=len, reverse=True):
        text = text.replace(placeholder, names[placeholder])
    renamed: Manifest = json.loads(text)
    return renamed


def hashed(manifest: Manifest) -> Manifest:
    """Return an object with its hashes worked out again, in the way of all versions so far."""
    manifest = json.loads(json.dumps(manifest))
    template = manifest["spec"].get("template")
    if template:
        template["metadata"]["annotations"][CONFIG_HASH] = _digest(template["spec"])
    annotations = manifest["metadata"].pop("annotations")
    del annotations[DESIRED_HASH]
    bare = (
        manifest
        if not annotations
        else {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
    )
    manifest["metadata"]["annotations"] = {**annotations, DESIRED_HASH: _digest(bare)}
    return manifest


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
