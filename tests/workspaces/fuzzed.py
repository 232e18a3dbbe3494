"""
Make Workspaces that nobody thought of, each from a number, so that a failure can be made again.

Every field of `inference` and `resource` is there in some of them, with the longest and oddest
values that may pass. Not all are valid: the API server is asked, which is the point.
"""

import random
import string
from typing import Any

Manifest = dict[str, Any]

PRESETS = (
    *("mistral-7b-instruct", "mistral-7b", "mistral-7b-instruct-v0.2", "mixtral-8x7b-instruct"),
    *("tiny-mistral", "mistralai/Mistral-7B-Instruct-v0.1"),
)
TYPES = (
    *("Standard_NC24ads_A100_v4", "Standard_NC96ads_A100_v4", "Standard_ND96isr_H100_v5"),
    *("p4d.24xlarge", "g5.12xlarge", "a2-highgpu-1g", "not-in-any-table"),
)
RESTRICTED_CONTAINER: Manifest = {
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
}
RESTRICTED_POD: Manifest = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
}


def fuzzed(number: int, namespace: str) -> Manifest:
    """Return the Workspace of a number."""
    dice = random.Random(number)  # noqa: S311 - a choice that can be made again, not a secret
    name = _name(dice, dice.choice((1, 8, 40, 58, 63)))
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": _some(
                dice,
                {
                    "kaito.sh/enablelb": "True",
                    "kaito.sh/node-image-family": dice.choice(("ubuntu", "azurelinux")),
                    "team.example.com/note": _text(dice, 200),
                },
            ),
            "labels": _some(dice, {"team": _name(dice, 63), "kaito.sh/workspace": "other"}),
        },
        "resource": _resource(dice),
        "inference": _preset(dice) if dice.random() < 0.7 else _template(dice),
    }


def _resource(dice: random.Random) -> Manifest:
    labels = {_name(dice, 20): _name(dice, 63) for _ in range(dice.randint(1, 5))}
    expressions = [
        {"key": "zone", "operator": "In", "values": ["a", "b"]},
        {"key": "fast.example.com/x", "operator": "Exists"},
    ]
    return {
        "count": dice.choice((1, 2, 3, 1000)),
        "labelSelector": {
            "matchLabels": labels,
            **_some(dice, {"matchExpressions": expressions[: dice.randint(0, 2)]}),
        },
        **_some(dice, {"instanceType": dice.choice(TYPES), "preferredNodes": ["node-1"]}),
    }


def _preset(dice: random.Random) -> Manifest:
    options = _some(
        dice,
        {
            "image": f"registry.example.com:5000/{_name(dice, 30)}/model:v1",
            "imagePullSecrets": [_name(dice, 60), _name(dice, 5)],
            "modelAccessSecret": _name(dice, 60),
        },
    )
    preset: Manifest = {"name": dice.choice(PRESETS), "presetOptions": options}
    return {"preset": preset, **_some(dice, {"config": _name(dice, 30)})}


def _template(dice: random.Random) -> Manifest:
    """Give a pod of the user's own that passes Pod Security by itself."""
    containers = [
        {
            "name": f"c{number}",
            "image": f"registry.example.com/{_name(dice, 10)}:1",
            **RESTRICTED_CONTAINER,
            **_some(
                dice,
                {
                    "args": [_text(dice, 50)],
                    "ports": [{"name": "http", "containerPort": dice.randint(1, 65535)}],
                    "env": [{"name": "A", "value": _text(dice, 50)}],
                    "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "2"}},
                },
            ),
        }
        for number in range(dice.randint(1, 3))
    ]
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                    {"matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}]},
                ]
            }
        }
    }
    extra = {
        "affinity": affinity,
        "tolerations": [{"key": "mine", "operator": "Exists"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "automountServiceAccountToken": dice.random() < 0.5,
    }
    spec = {"containers": containers, **RESTRICTED_POD, **_some(dice, extra)}
    return {"template": {"metadata": {"labels": {"app": _name(dice, 20)}}, "spec": spec}}


def _some(dice: random.Random, fields: Manifest) -> Manifest:
    return {name: value for name, value in fields.items() if dice.random() < 0.5}


def _name(dice: random.Random, length: int) -> str:
    """Return a DNS label."""
    inner = "".join(dice.choices(string.ascii_lowercase + string.digits + "-", k=length))
    return dice.choice(string.ascii_lowercase) + (inner + "x")[1 - length :] if length > 1 else "w"


def _text(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(string.printable[:94] + "äß漢🙂", k=length))
