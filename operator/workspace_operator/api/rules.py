"""
What the fields of a Workspace must satisfy together: KAITO's static rules, with its holes closed.

The same rules stand in the CustomResourceDefinition (``workspace_operator.crd``), where the API
server holds them against every write; here they hold against what was stored before a rule existed.
One table of bad manifests in the tests is put to both. Rules that compare a change with what was
there before need the old object, so only the CustomResourceDefinition has them.
Source: kaito-project/kaito, api/v1beta1/workspace_validation.go at v0.12.0.
Invariant: pure; a violation names the field, the value and the remedy.
Must not import kopf, kubernetes, asyncio, os or time.
"""

import re
from collections.abc import Iterator

from workspace_operator.api.annotations import annotation_rules
from workspace_operator.api.limits import (
    LABEL_KEY,
    LABEL_KEY_LIMIT,
    LABEL_VALUE,
    MIG_PROFILES,
    NAME_LIMIT,
    RESERVED_LABEL_PREFIX,
    RESERVED_LABELS,
    WORKSPACE_NAME,
)
from workspace_operator.api.output_repository import output_repository_rules
from workspace_operator.api.violation import Violation
from workspace_operator.api.workload_rules import inference_rules, tuning_rules
from workspace_operator.api.workspace import LabelExpression, LabelSelector, Partition, Workspace


def violations(workspace: Workspace) -> Iterator[Violation]:
    """Give every broken static rule, in the order of the manifest."""
    yield from _object_rules(workspace)
    yield from annotation_rules(workspace.annotations)
    yield from output_repository_rules(workspace)
    yield from _selector_rules(workspace.resource.label_selector)
    if workspace.resource.partition is not None:
        yield from _partition_rules(workspace.resource.partition)
    if workspace.inference is not None:
        yield from inference_rules(workspace.inference)
    if workspace.tuning is not None:
        yield from tuning_rules(workspace.resource, workspace.tuning)


def _object_rules(workspace: Workspace) -> Iterator[Violation]:
    if len(workspace.name) > NAME_LIMIT or not re.fullmatch(WORKSPACE_NAME, workspace.name):
        yield Violation(
            path="metadata.name",
            why=f"{workspace.name!r} cannot name a Service and a label: use at most {NAME_LIMIT} "
            "lower-case letters, digits and '-', starting with a letter and not ending with '-'",
        )
    if workspace.inference is None and workspace.tuning is None:
        yield Violation(
            path="inference",
            why="Either Inference or Tuning must be specified, not neither: add inference.preset",
        )
    if workspace.inference is not None and workspace.tuning is not None:
        yield Violation(
            path="tuning",
            why="Either Inference or Tuning must be specified, but not both: "
            "put tuning into a Workspace of its own",
        )


def _is_reserved(key: str) -> bool:
    return key in RESERVED_LABELS or key.startswith(RESERVED_LABEL_PREFIX)


def _selector_rules(selector: LabelSelector) -> Iterator[Violation]:
    path = "resource.labelSelector"
    if selector.match_labels and all(map(_is_reserved, selector.match_labels)):
        yield Violation(
            path=f"{path}.matchLabels",
            why="matchLabels must contain at least one non-reserved label; "
            f"got {sorted(selector.match_labels)}: add one of your own, such as apps: mistral",
        )
    for key, value in selector.match_labels.items():
        yield from _key_rules(key, f"{path}.matchLabels")
        yield from _value_rules(value, f"{path}.matchLabels")
    for index, expression in enumerate(selector.match_expressions):
        yield from _expression_rules(expression, f"{path}.matchExpressions[{index}]")


def _expression_rules(expression: LabelExpression, path: str) -> Iterator[Violation]:
    yield from _key_rules(expression.key, f"{path}.key")
    needs_values = expression.operator in {"In", "NotIn"}
    if needs_values != bool(expression.values):
        remedy = "name at least one value" if needs_values else "leave values out"
        yield Violation(
            path=f"{path}.values",
            why=f"operator {expression.operator} with values {list(expression.values)}: {remedy}",
        )
    for index, value in enumerate(expression.values):
        yield from _value_rules(value, f"{path}.values[{index}]")


def _key_rules(key: str, path: str) -> Iterator[Violation]:
    if len(key) > LABEL_KEY_LIMIT or not re.fullmatch(LABEL_KEY, key):
        yield Violation(
            path=path,
            why=f"{key!r} is not a label key: use letters, digits, '-', '_' and '.', after an "
            "optional DNS name and '/', such as example.com/team",
        )


def _value_rules(value: str, path: str) -> Iterator[Violation]:
    if not re.fullmatch(LABEL_VALUE, value):
        yield Violation(
            path=path,
            why=f"{value!r} is not a label value: use at most 63 letters, digits, '-', '_' "
            "and '.', starting and ending with a letter or digit",
        )


def _partition_rules(partition: Partition) -> Iterator[Violation]:
    path = "resource.partition"
    if partition.mode == "accelerator":
        if partition.profile:
            yield Violation(
                path=f"{path}.profile",
                why=f"{partition.profile!r}: profile is not valid for accelerator mode; remove it",
            )
        if partition.count is None:
            yield Violation(
                path=f"{path}.count",
                why="missing: accelerator mode needs count, the number of GPUs",
            )
        return
    if partition.count is not None:
        yield Violation(
            path=f"{path}.count",
            why=f"{partition.count}: count is only valid for accelerator mode; remove it",
        )
    if partition.profile not in MIG_PROFILES:
        yield Violation(
            path=f"{path}.profile",
            why=f"{partition.profile!r} is not a MIG profile: use one that the GPU offers, "
            "such as 1g.10gb (nvidia-smi mig -lgip lists them)",
        )
