"""Edits that a user may make to a Workspace, good, bad and pointless, to be strung together."""

from dataclasses import dataclass

from tests.workspaces.good import Manifest

_POD = {"spec": {"containers": [{"name": "a", "image": "b"}]}}
_ADAPTER = {"name": "style", "image": "example.com/style:1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """
    Change a Workspace by a merge patch.

    Attributes:
        name: what a failing sequence is called by.
        patch: the change.
        refused: whether the definition refuses what comes of it, whatever was there before.
        fixed: whether the definition refuses the change itself.
    """

    name: str
    patch: Manifest
    refused: bool = False
    fixed: bool = False


def annotate(name: str, key: str, value: str | None) -> Edit:
    return Edit(name=name, patch={"metadata": {"annotations": {key: value}}})


EDITS: tuple[Edit, ...] = (
    *(Edit(name=f"{count} nodes", patch={"resource": {"count": count}}) for count in (1, 2, 3)),
    annotate("a load balancer", "kaito.sh/enablelb", "True"),
    annotate("no load balancer", "kaito.sh/enablelb", None),
    annotate("vllm", "kaito.sh/runtime", "vllm"),
    annotate("transformers", "kaito.sh/runtime", "transformers"),
    annotate("any runtime", "kaito.sh/runtime", None),
    annotate("a note", "team.example/note", "look"),
    annotate("a type to fall back to", "atelier.dev/instance-types", "Standard_NC48ads_A100_v4"),
    annotate("no type to fall back to", "atelier.dev/instance-types", None),
    Edit(name="settings", patch={"inference": {"config": "settings"}}),
    Edit(name="other settings", patch={"inference": {"config": "other"}}),
    Edit(name="settings that are not there", patch={"inference": {"config": "absent"}}),
    Edit(name="no settings", patch={"inference": {"config": None}}),
    Edit(name="a node preferred", patch={"resource": {"preferredNodes": ["n"]}}),
    Edit(name="an adapter", patch={"inference": {"adapters": [{"source": _ADAPTER}]}}),
    Edit(name="no adapter", patch={"inference": {"adapters": None}}),
    Edit(name="nothing", patch={}),
    Edit(name="no nodes", patch={"resource": {"count": 0}}, refused=True),
    Edit(name="half a node", patch={"resource": {"count": "half"}}, refused=True),
    Edit(name="an empty adapter", patch={"inference": {"adapters": [{}]}}, refused=True),
    Edit(
        name="an adapter of strength 2",
        patch={"inference": {"adapters": [{"source": _ADAPTER, "strength": "2"}]}},
        refused=True,
    ),
    Edit(name="settings that cannot be", patch={"inference": {"config": "No Name"}}, refused=True),
    Edit(name="no selector", patch={"resource": {"labelSelector": None}}, refused=True),
    Edit(
        name="another preset",
        patch={"inference": {"preset": {"name": "tiny-mistral"}}},
        fixed=True,
    ),
    Edit(
        name="a template for the preset",
        patch={"inference": {"preset": None, "template": _POD}},
        fixed=True,
    ),
    Edit(
        name="another selector",
        patch={"resource": {"labelSelector": {"matchLabels": {"apps": "another"}}}},
        fixed=True,
    ),
    Edit(name="another type", patch={"resource": {"instanceType": "g5.xlarge"}}, fixed=True),
)
