"""
Join schema, rules, columns and names to the CustomResourceDefinition of the Workspace.

KAITO's API, so that what was written for it works unchanged: names, both versions, v1beta1 stored,
columns in KAITO's order; ours come after them, and only in ``kubectl get -o wide``.
Source: kaito-project/kaito, config/crd/bases/kaito.sh_workspaces.yaml at v0.12.0.
"""

import copy
from typing import Any

import yaml

from workspace_operator.api import (
    ALPHA_VERSION,
    GROUP,
    KIND,
    PLURAL,
    STORED_VERSION,
    Workspace,
)
from workspace_operator.api.workspace import NAME_MAX_LENGTH
from workspace_operator.crd.rules import RULES
from workspace_operator.crd.schema import Schema, at, structural, walk

HEADER = """\
# Written by `make generate` from operator/workspace_operator/api: change the models, not this file.
"""

ALPHA_INSTANCE_TYPE = "Standard_NC24ads_A100_v4"
"""What v1alpha1 takes for an absent instanceType."""

_ALPHA_LACKS = {
    "resource": ("partition",),
    "inference.preset.presetOptions": ("modelAccessSecret",),
    "tuning.preset.presetOptions": ("modelAccessSecret",),
    "status": ("state", "targetNodeCount", "performance"),
}

_EXTENSIONS: dict[str, Schema] = {
    "resource.labelSelector": {"x-kubernetes-map-type": "atomic"},
    "resource.labelSelector.matchExpressions": {"x-kubernetes-list-type": "atomic"},
    "resource.labelSelector.matchExpressions[].values": {"x-kubernetes-list-type": "atomic"},
    "status.conditions": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
    "status.nodeAttempts": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["ordinal"],
    },
}


def definition() -> dict[str, Any]:
    """Give the CustomResourceDefinition as a manifest."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": ["workspace"],
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "shortNames": ["wk", "wks"],
                "singular": KIND.lower(),
            },
            "scope": "Namespaced",
            "versions": [_version(ALPHA_VERSION), _version(STORED_VERSION)],
        },
    }


def render() -> str:
    """Give the CustomResourceDefinition as the text of its file."""
    return HEADER + yaml.safe_dump(definition(), sort_keys=False, width=100, allow_unicode=True)


def _version(name: str) -> Schema:
    return {
        "name": name,
        "served": True,
        "storage": name == STORED_VERSION,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(name),
        "schema": {"openAPIV3Schema": _schema(name)},
    }


def _schema(version: str) -> Schema:
    generated = Workspace.model_json_schema(by_alias=True)
    fields = generated["properties"]
    properties = {
        name: structural(fields[name], generated["$defs"])
        for name in ("resource", "inference", "tuning", "status")
    }
    walk(properties["status"], lambda each: each.pop("default", None))
    root: Schema = {
        "description": "One model on GPU nodes of its own, or one tuning job.",
        "type": "object",
        "properties": {
            "apiVersion": {"description": "Version of the API.", "type": "string"},
            "kind": {"description": f"Always {KIND}.", "type": "string"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": NAME_MAX_LENGTH}},
            },
            **properties,
        },
    }
    for path, extension in _EXTENSIONS.items():
        at(root, path).update(extension)
    if version == ALPHA_VERSION:
        _make_alpha(root)
    for rule in RULES:
        if rule.needs and not _exists(root, rule.needs):
            continue
        at(root, rule.path).setdefault("x-kubernetes-validations", []).append(rule.to_manifest())
    return copy.deepcopy(root)


def _make_alpha(root: Schema) -> None:
    for path, names in _ALPHA_LACKS.items():
        for name in names:
            del at(root, path)["properties"][name]
    at(root, "resource.instanceType")["default"] = ALPHA_INSTANCE_TYPE


def _exists(root: Schema, path: str) -> bool:
    try:
        at(root, path)
    except KeyError:
        return False
    return True


def _columns(version: str) -> list[Schema]:
    columns = [_column("Instance", ".resource.instanceType")]
    columns += [
        _column(each, f'.status.conditions[?(@.type=="{each}")].status')
        for each in ("ResourceReady", "InferenceReady", "JobStarted", "WorkspaceSucceeded")
    ]
    if version != ALPHA_VERSION:
        columns += [
            _column("TargetNodeCount", ".status.targetNodeCount", kind="integer"),
            _column("State", ".status.state"),
        ]
    columns.append(_column("Age", ".metadata.creationTimestamp", kind="date"))
    columns += [
        _column("Phase", ".status.phase", priority=1),
        _column("Progress", ".status.progress", priority=1),
        _column("Model", ".status.model.name", priority=1),
        _column("URL", ".status.endpoint.url", priority=1),
    ]
    return columns


def _column(name: str, path: str, *, kind: str = "string", priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    return column | {"priority": priority} if priority else column
