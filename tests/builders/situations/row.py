"""One row of the table of situations: a world, and what the user is to be told in it."""

from dataclasses import dataclass, field
from typing import Any

from workspace_operator.api import GpuFailure, NodeAttempt, Workspace, WorkspaceStatus
from workspace_operator.settings import Settings
from workspace_operator.snapshot import ModelAnswer, PodWarning, Snapshot
from workspace_operator.status import report

from tests.builders import (
    SETTINGS,
    Manifest,
    at,
    claim,
    node,
    planned,
    pod,
    running,
    workspace,
)

NOW = at(300)
SERVES = ModelAnswer(
    ready=True,
    phase="ready",
    model_name="mistral-7b-instruct",
    model_revision="9ab9",
    model_digest="sha256:1",
    token_generated=True,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One situation, and the root cause, the sentence and the phase that follow from it."""

    name: str
    reason: str
    says: str
    phase: str
    failed: bool = False
    state: str = "Pending"
    claims: tuple[Manifest, ...] = (claim(),)
    nodes: tuple[Manifest, ...] = (node(),)
    pods: tuple[Manifest, ...] = ()
    claims_served: bool = True
    others: tuple[Manifest, ...] = ()
    warnings: dict[str, PodWarning] = field(default_factory=dict)
    answers: dict[str, ModelAnswer] = field(default_factory=dict)
    deployment: Manifest | None = None
    attempts: tuple[NodeAttempt, ...] = ()
    gpu_failures: tuple[GpuFailure, ...] = ()
    settings: Settings = SETTINGS
    facts: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    # Conditions by type, where the row speaks about them.
    conditions: dict[str, str] = field(default_factory=dict)


def world(row: Row) -> Snapshot:
    conflict = row.deployment if row.deployment and row.deployment.get("kind") else None
    return Snapshot.parse(
        node_claims=row.claims,
        claims_served=row.claims_served,
        nodes=row.nodes,
        pods=row.pods,
        others=row.others,
        warnings=row.warnings,
        answers=row.answers,
        deployment=None if conflict else row.deployment,
        service=conflict,
    )


def told(row: Row) -> tuple[Workspace, WorkspaceStatus]:
    made = workspace(
        WorkspaceStatus(node_attempts=row.attempts, gpu_failures=row.gpu_failures), **row.facts
    )
    plan = planned(made, row.settings)
    return made, report(made, plan, world(row), NOW, fault=row.fault)


SERVING = Row(
    name="serving",
    reason="",
    says="",
    phase="Ready",
    pods=(pod(state=running(), ready=True),),
    answers={"mistral-a": SERVES},
)
