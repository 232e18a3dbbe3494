"""Workspaces that must be accepted by the parser and by the API server, in KAITO's format."""

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> Manifest:
    """Merge as a JSON merge patch does: null removes, a map is merged, anything else replaces."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result


INFERENCE: Manifest = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {"name": "mistral", "namespace": "default"},
    "resource": {
        "instanceType": "Standard_NC24ads_A100_v4",
        "labelSelector": {"matchLabels": {"apps": "mistral"}},
    },
    "inference": {"preset": {"name": "mistral-7b-instruct"}},
}

TUNING: Manifest = merged(
    INFERENCE,
    {
        "inference": None,
        "tuning": {
            "preset": {"name": "mistral-7b-instruct"},
            "method": "qlora",
            "input": {"urls": ["https://example.com/data.parquet?download=true"]},
            "output": {"image": "registry.example.com:5000/me/out:v1", "imagePushSecret": "push"},
        },
    },
)

_POD_TEMPLATE = {
    "metadata": {"labels": {"app": "own"}},
    "spec": {"containers": [{"name": "own", "image": "example.com/own:1"}]},
}
_ADAPTER = {"source": {"name": "style", "image": "example.com/style:1"}, "strength": "0.5"}

GOOD: dict[str, Manifest] = {
    "preset": INFERENCE,
    "no instance type: the cheapest that fits": merged(
        INFERENCE, {"resource": {"instanceType": None}}
    ),
    "several nodes": merged(INFERENCE, {"resource": {"count": 3}}),
    "preset by the hub's id": merged(
        INFERENCE, {"inference": {"preset": {"name": "mistralai/Mistral-7B-Instruct-v0.1"}}}
    ),
    "own nodes by expressions": merged(
        INFERENCE,
        {
            "resource": {
                "instanceType": None,
                "labelSelector": {
                    "matchExpressions": [
                        {"key": "zone", "operator": "In", "values": ["a", "b"]},
                        {"key": "nvidia.com/gpu.present", "operator": "Exists"},
                    ]
                },
            }
        },
    ),
    "empty selector": merged(INFERENCE, {"resource": {"labelSelector": {"matchLabels": None}}}),
    "a reserved label beside one's own": merged(
        INFERENCE, {"resource": {"labelSelector": {"matchLabels": {"kaito.sh/workspace": "x"}}}}
    ),
    "deprecated fields": merged(
        INFERENCE,
        {
            "resource": {"preferredNodes": ["node-1"]},
            "inference": {
                "preset": {
                    "accessMode": "private",
                    "presetOptions": {
                        "image": "Registry.example.com/kaito-mistral:0.2.0",
                        "imagePullSecrets": ["pull"],
                    },
                }
            },
        },
    ),
    "gated model": merged(
        INFERENCE,
        {"inference": {"preset": {"presetOptions": {"modelAccessSecret": "hub-token"}}}},
    ),
    "template": merged(INFERENCE, {"inference": {"preset": None, "template": _POD_TEMPLATE}}),
    "config": merged(INFERENCE, {"inference": {"config": "settings"}}),
    "adapters": merged(
        INFERENCE,
        {
            "inference": {
                "adapters": [
                    _ADAPTER,
                    {
                        "source": {
                            "name": "tone",
                            "volumeSource": {"persistentVolumeClaim": {"claimName": "tone"}},
                        },
                        "strength": "1e-1",
                    },
                ]
            }
        },
    ),
    "partition of a GPU": merged(
        INFERENCE, {"resource": {"partition": {"mode": "mig", "profile": "3g.40gb"}}}
    ),
    "partition of a node": merged(
        INFERENCE, {"resource": {"partition": {"mode": "accelerator", "count": 2}}}
    ),
    "annotations": merged(
        INFERENCE,
        {"metadata": {"annotations": {"kaito.sh/enablelb": "True"}}},
    ),
    "tuning": TUNING,
    "tuning from an image into a volume": merged(
        TUNING,
        {
            "tuning": {
                "method": "LoRA",
                "config": "lora-params",
                "input": {
                    "name": "set",
                    "urls": None,
                    "image": "example.com/data@sha256:" + "0" * 64,
                },
                "output": {
                    "image": None,
                    "imagePushSecret": None,
                    "volumeSource": {"emptyDir": {}},
                },
            }
        },
    ),
}

NOT_IN_ALPHA = ("partition of a GPU", "partition of a node", "gated model")
"""Names of GOOD that use fields which v1alpha1 lacks."""
