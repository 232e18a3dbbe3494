"""
What may be written in the annotations of a Workspace, and what each does here.

The CustomResourceDefinition cannot see annotations, so a typo in one would change what is bought or
run without a word. An admission policy of the chart, generated from this table
(``workspace_operator.crd.policies``), holds it against every write. Of what was stored without the
policy, ours is refused by the parser, for it decides about money; KAITO's becomes a note of the
plan, so that a Workspace that KAITO ran goes on.
Source: kaito-project/kaito, api/v1beta1/labels.go and workspace_validation.go at v0.12.0.
Must not import kopf, kubernetes, asyncio, os or time.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_presets.destination import PATTERN, REMEDY

from workspace_operator.api.output_repository import OUTPUT_ANNOTATION
from workspace_operator.api.violation import Violation
from workspace_operator.api.weights import WEIGHTS_ANNOTATION, WEIGHTS_PATTERN, WEIGHTS_REMEDY

OUR_PREFIX = "atelier.dev/"
KAITO_PREFIX = "kaito.sh/"

PLAN_ANNOTATION = "atelier.dev/plan"
PLAN_ONLY = "only"
TYPES_ANNOTATION = "atelier.dev/instance-types"
RELEASE_ANNOTATION = "atelier.dev/release-nodes-when-done"

MOST_TYPES = 16
# Source: kubernetes.io/docs/concepts/overview/working-with-objects/labels, "Syntax": an instance
# type is the value of a label.
TYPE_NAME = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_INSTANCE_TYPES = "^[A-Za-z0-9][A-Za-z0-9_.-]*( *, *[A-Za-z0-9][A-Za-z0-9_.-]*){0,15}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """
    Describe one annotation.

    Attributes:
        key: its key.
        does: what it does here, for the user's page.
        values: what may be written, spelt so; empty where anything may.
        pattern: a pattern for the value instead of a list.
        remedy: what to write instead, where the list of values does not say it.
        any_case: whether the letters' case is free.
        idle: whether it has no effect here, which is worth a warning.
        fixed: whether it may be neither set, nor changed, nor removed after creation.
    """

    key: str
    does: str
    values: tuple[str, ...] = ()
    pattern: str = ""
    remedy: str = ""
    any_case: bool = False
    idle: bool = False
    fixed: bool = False

    @property
    def use(self) -> str:
        """Say what to write instead of a wrong value."""
        return self.remedy or f"use {' or '.join(self.values)}, spelt so"

    def takes(self, value: str) -> bool:
        """Say whether a value may be written."""
        if self.pattern:
            return re.search(self.pattern, value) is not None
        given = value.lower() if self.any_case else value
        return not self.values or given in self.values


ANNOTATIONS: tuple[Annotation, ...] = (
    Annotation(
        key=PLAN_ANNOTATION,
        does="fills status.plan and creates nothing; remove it to go ahead",
        values=(PLAN_ONLY,),
        remedy="write only, or remove it to create what was planned",
    ),
    Annotation(
        key=TYPES_ANNOTATION,
        does="instance types tried in this order, after resource.instanceType where that is given",
        pattern=_INSTANCE_TYPES,
        remedy="write at most 16 instance types with commas between them, such as "
        "Standard_NC24ads_A100_v4,Standard_NV36ads_A10_v5",
    ),
    Annotation(
        key=RELEASE_ANNOTATION,
        does="gives the machines of a tuning back when it has ended, well or not",
        values=("true", "false"),
        remedy='write "true", spelt so, or remove it to keep them until the Workspace is deleted',
    ),
    Annotation(
        key=WEIGHTS_ANNOTATION,
        does="says where the weights come from, instead of the preset's image",
        pattern=WEIGHTS_PATTERN,
        remedy=WEIGHTS_REMEDY,
    ),
    Annotation(
        key=OUTPUT_ANNOTATION,
        does="uploads the adapter of a tuning to this repository of the model hub, too",
        pattern=PATTERN,
        remedy=f"{REMEDY}, of the public model hub",
    ),
    Annotation(
        key="kaito.sh/enablelb",
        does="makes the Service a LoadBalancer; may be changed at any time",
        values=("True", "False", "false"),
        remedy="use True, spelt so, or remove it",
    ),
    Annotation(
        key="kaito.sh/runtime",
        does="transformers is what runs; vllm is answered by a condition (RuntimeNotOffered)",
        values=("transformers", "vllm"),
        remedy="use transformers, spelt so, or remove it",
    ),
    Annotation(
        key="kaito.sh/bypass-resource-checks",
        does="skips the check whether the model fits the GPU",
        values=("true", "True", ""),
        remedy="its mere presence skips the check of GPU memory: use true or remove it",
    ),
    Annotation(
        key="kaito.sh/node-image-family",
        does="is copied to the NodeClaim",
        values=("ubuntu", "azurelinux"),
        remedy="supported values are azurelinux, ubuntu",
        any_case=True,
    ),
    Annotation(
        key="kaito.sh/performance-mode",
        does="flags of vLLM",
        values=("balanced", "interactivity", "throughput"),
        idle=True,
    ),
    Annotation(
        key="kaito.sh/use-local-weights",
        does="weights in a folder of the node",
        values=("true", "false"),
        idle=True,
    ),
    Annotation(
        key="kaito.sh/disable-benchmark",
        does="a benchmark before Ready, which is not made here",
        values=("true", "false"),
        idle=True,
    ),
    Annotation(key="kaito.sh/model-streaming", does="model streaming", idle=True, fixed=True),
    *(
        Annotation(key=f"kaito.sh/{name}", does=does, idle=True)
        for name, does in (
            ("node-class-name", "the node class is the administrator's choice (chart: nodeClass)"),
            ("model-mirror-storage-class", "model streaming"),
            ("streaming-service-account", "model streaming"),
        )
    ),
)

BY_KEY: Mapping[str, Annotation] = {each.key: each for each in ANNOTATIONS}


def annotation_rules(annotations: Mapping[str, str]) -> Iterator[Violation]:
    """Give every broken rule of the annotations that are ours; a list is read by the plan."""
    for key, value in sorted(annotations.items()):
        if not key.startswith(OUR_PREFIX):
            continue
        known = BY_KEY.get(key)
        if known is None:
            yield Violation(path=f"metadata.annotations[{key}]", why=unknown_key())
        elif key != TYPES_ANNOTATION and not known.takes(value):
            why = f"{value!r} is not supported: {known.use}"
            yield Violation(path=f"metadata.annotations[{key}]", why=why)


def unknown_key() -> str:
    """Say which annotations of ours there are."""
    ours = ", ".join(each.key for each in ANNOTATIONS if each.key.startswith(OUR_PREFIX))
    return f"no such annotation; there are {ours}"


def idle_notes(annotations: Mapping[str, str]) -> Iterator[str]:
    """Give a sentence for each of KAITO's annotations that is misspelt, and so has no effect."""
    for key, value in sorted(annotations.items()):
        known = BY_KEY.get(key)
        if known is None or key.startswith(OUR_PREFIX) or known.takes(value):
            continue
        yield f"annotation {key}: {value!r} is not supported and has no effect: {known.use}"
