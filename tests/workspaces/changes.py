"""Changes of a stored Workspace: what is fixed after creation, and what stays free."""

from tests.workspaces.good import INFERENCE, TUNING, Manifest, merged
from tests.workspaces.row import Change

_POD = {"spec": {"containers": [{"name": "a", "image": "b"}]}}
_OWN_POD = merged(INFERENCE, {"inference": {"preset": None, "template": _POD}})
_LARGER = {"resource": {"count": 3}}
_OUTPUT = {"tuning": {"output": {"image": "example.com/out:2"}}}


def serving(bad: Manifest, path: str, says: str, good: Manifest | None = None) -> Change:
    return Change(before=INFERENCE, bad=bad, path=path, says=says, good=good or _LARGER)


def training(bad: Manifest, path: str, says: str, good: Manifest | None = None) -> Change:
    return Change(before=TUNING, bad=bad, path=path, says=says, good=good or _OUTPUT)


CHANGES: dict[str, Change] = {
    "another instance type": serving(
        {"resource": {"instanceType": "g5.xlarge"}},
        "resource.instanceType",
        "cannot be changed once set",
        {"resource": {"instanceType": None}},
    ),
    "another selector": serving(
        {"resource": {"labelSelector": {"matchLabels": {"apps": "other"}}}},
        "resource.labelSelector",
        "field is immutable",
    ),
    "a partition": serving(
        {"resource": {"partition": {"mode": "accelerator", "count": 1}}},
        "resource.partition",
        "field is immutable",
    ),
    "another preset": serving(
        {"inference": {"preset": {"name": "mistral-7b"}}}, "inference.preset", "field is immutable"
    ),
    "another image of the preset": serving(
        {"inference": {"preset": {"presetOptions": {"image": "example.com/a:2"}}}},
        "inference.preset",
        "field is immutable",
    ),
    "a template for the preset": serving(
        {"inference": {"preset": None, "template": _POD}},
        "inference.template",
        "cannot be unset/set",
    ),
    "a preset for the template": Change(
        before=_OWN_POD,
        bad={"inference": {"template": None, "preset": {"name": "mistral-7b"}}},
        path="inference.template",
        says="cannot be unset/set",
        good={"inference": {"template": {"spec": {"containers": [{"name": "a", "image": "c"}]}}}},
    ),
    "tuning for inference": serving(
        {"inference": None, "tuning": TUNING["tuning"]},
        "inference",
        "Inference field cannot be toggled",
        {"inference": {"config": "settings"}},
    ),
    "inference for tuning": training(
        {"tuning": None, "inference": INFERENCE["inference"]},
        "tuning",
        "Tuning field cannot be toggled",
    ),
    "another method": training(
        {"tuning": {"method": "lora"}},
        "tuning.method",
        "Method cannot be changed",
        {"tuning": {"method": "QLoRA"}},
    ),
    "another model to tune": training(
        {"tuning": {"preset": {"name": "mistral-7b"}}}, "tuning.preset", "Preset cannot be changed"
    ),
    "a name for the input": training(
        {"tuning": {"input": {"name": "set"}}},
        "tuning.input.name",
        "Name field cannot be changed",
        {"tuning": {"input": {"urls": ["https://example.com/other.parquet"]}}},
    ),
    "an adapter without source": serving(
        {"inference": {"adapters": [{}]}},
        "inference.adapters[0].source",
        "image or volumeSource",
        {"inference": {"adapters": [{"source": {"name": "a", "image": "example.com/a:1"}}]}},
    ),
    "no nodes": serving({"resource": {"count": 0}}, "resource.count", "greater than or equal to 1"),
}

ALSO_FREE: dict[str, tuple[Manifest, Manifest]] = {
    "a preferred node": (INFERENCE, {"resource": {"preferredNodes": ["n"]}}),
    "an instance type later": (
        merged(INFERENCE, {"resource": {"instanceType": None}}),
        {"resource": {"instanceType": "g5.xlarge"}},
    ),
}
