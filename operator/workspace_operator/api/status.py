"""
What the operator answers: the status of a Workspace, KAITO's keys first and ours after them.

Invariant: KAITO's keys (workerNodes, targetNodeCount, state, conditions, performance) keep their
names and meanings; everything else is a new key that an older client does not see. Every
description becomes the user's reference in the CustomResourceDefinition.
Source: kaito-project/kaito, api/v1beta1/workspace_types.go at v0.12.0.
Must not import kopf, kubernetes, asyncio, os or time.
"""

from typing import Annotated, Literal

from pydantic import Field

from workspace_operator.api.model import Integer, Model, Timestamp
from workspace_operator.api.rollout import Rollout
from workspace_operator.api.training import TrainingStatus

# Source: k8s.io/apimachinery, pkg/apis/meta/v1/types.go, type Condition.
CONDITION_TYPE_PATTERN = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

NonNegative = Annotated[int, Field(strict=True, ge=0)]
Seconds = Annotated[float, Field(ge=0)]


def _is_empty(values: tuple[object, ...]) -> bool:
    """Say whether a list may be left out of what is written."""
    return not values


class Condition(Model):
    """One aspect of the Workspace that holds, does not hold, or is not known yet."""

    type: Annotated[str, Field(max_length=316, pattern=CONDITION_TYPE_PATTERN)] = Field(
        description="What the condition speaks of, such as ResourceReady."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=REASON_PATTERN)] = Field(
        description="The cause in one word, for programs."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(
        description="The cause and the next action in a sentence, for people."
    )
    last_transition_time: Timestamp = Field(description="When status last changed.")
    observed_generation: NonNegative | None = Field(
        default=None, description="Generation of the Workspace that this was decided for."
    )


class Metric(Model):
    """One measured figure."""

    description: str = Field(description="What was measured.")
    value: str = Field(description="The figure.")
    unit: str | None = Field(default=None, description="The unit of the figure.")
    config: dict[str, str] = Field(
        default_factory=dict, description="The settings that the figure was measured with."
    )


class Performance(Model):
    """What the model was measured to do."""

    metrics: dict[str, Metric] = Field(
        default_factory=dict, description="Measured figures by name, such as peakTokensPerMinute."
    )


class Startup(Model):
    """The ledger of a start: seconds per phase. A phase without a figure has not ended."""

    node_launched: Seconds | None = Field(
        default=None, description="Seconds until the cloud had started the machine."
    )
    node_registered: Seconds | None = Field(
        default=None, description="Seconds from there until the machine had joined as a node."
    )
    gpu_visible: Seconds | None = Field(
        default=None, description="Seconds from there until the node showed its GPU."
    )
    image_pulled: Seconds | None = Field(
        default=None, description="Seconds from there until the node held the image."
    )
    weights_fetched: Seconds | None = Field(
        default=None,
        description="Seconds from there until the weights had been fetched from the model hub; "
        "none where they are not.",
    )
    weights_loaded: Seconds | None = Field(
        default=None, description="Seconds from there until the server held the weights."
    )
    first_token: Seconds | None = Field(
        default=None, description="Seconds from there until a token had been generated."
    )
    total: Seconds | None = Field(
        default=None, description="Seconds from the Workspace's creation to the first token."
    )


class Download(Model):
    """How far the weights are, where they are fetched or read at run time."""

    bytes: NonNegative = Field(default=0, description="Bytes that have arrived.")
    total_bytes: NonNegative | None = Field(default=None, description="Bytes of all weights.")
    bytes_per_second: NonNegative | None = Field(default=None, description="Present speed.")
    seconds_left: NonNegative | None = Field(
        default=None, description="Seconds until the end at the present speed."
    )


class PlanOption(Model):
    """One machine that a Workspace could run on."""

    instance_type: str = Field(description="Name of the instance type.")
    gpu: str | None = Field(default=None, description="Its kind of GPU, where that is known.")
    gpus: NonNegative = Field(description="Number of its GPUs.")
    fits: bool | None = Field(
        default=None, description="Whether it holds the model; none where its GPU is not known."
    )
    fit: str = Field(description="The memory arithmetic.")
    kv_tokens: NonNegative | None = Field(
        default=None, description="Tokens of all running requests that fit beside the weights."
    )
    price_per_hour: str | None = Field(
        default=None, description="Price of one for an hour, where the administrator told it."
    )


class ExpectedPhase(Model):
    """How long one phase of a start may take."""

    phase: str = Field(description="The phase, as status.startup names it.")
    minutes: Annotated[float, Field(ge=0)] = Field(description="Expected minutes.")
    basis: str = Field(
        description="Where the figure comes from: measured starts of this cluster, or declared "
        "by the administrator."
    )


class PlanStatus(Model):
    """What was worked out before anything was bought."""

    nodes: NonNegative = Field(description="Number of nodes.")
    gpus: NonNegative = Field(description="Number of GPUs on each node.")
    instance_type: str | None = Field(
        default=None, description="The instance type asked for, or the one that was found."
    )
    candidates: tuple[str, ...] = Field(
        default=(), description="Instance types that may be bought, the smallest first."
    )
    fit: str | None = Field(
        default=None,
        description="Whether the model fits the GPU's memory, with the figures and the remedy.",
    )
    kv_tokens: NonNegative | None = Field(
        default=None, description="Tokens of all running requests that fit beside the weights."
    )
    price_per_hour: str | None = Field(
        default=None, description="Price of all nodes for one hour, with its currency."
    )
    disk: str | None = Field(default=None, description="Disk of each new node.")
    weights: str | None = Field(
        default=None, description="Where the weights come from, as annotation atelier.dev/weights."
    )
    options: Annotated[tuple[PlanOption, ...], Field(max_length=32)] = Field(
        default=(),
        exclude_if=_is_empty,
        description="Machines to choose from; with annotation atelier.dev/plan only.",
    )
    expected: Annotated[tuple[ExpectedPhase, ...], Field(max_length=16)] = Field(
        default=(),
        exclude_if=_is_empty,
        description="How long each phase may take; with annotation atelier.dev/plan only.",
    )


class Endpoint(Model):
    """Where the model answers."""

    url: str = Field(description="Address inside the cluster; the OpenAI API is below /v1.")


class ModelIdentity(Model):
    """Which model answers, as the server attests."""

    name: str = Field(description="Name to put into a request.")
    revision: str | None = Field(default=None, description="Commit of the model's repository.")
    digest: str | None = Field(
        default=None, description="SHA-256 over the list of the weights' SHA-256 sums."
    )


class NodeAttempt(Model):
    """One node of the Workspace: the claim that was asked for, or why the last try failed."""

    ordinal: NonNegative = Field(description="Which node of the Workspace, from 0.")
    attempt: NonNegative = Field(description="Number of the present try, from 0.")
    failures: NonNegative = Field(
        default=0,
        description="Failed tries in a row; each doubles the wait. 0 again once a node has lasted.",
    )
    claim: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Name of the NodeClaim that was asked for; none while waiting."
    )
    last_claim: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Name of the NodeClaim of the last failed try."
    )
    instance_type: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="The instance type that was asked for, or that the next try asks for.",
    )
    reason: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why the last try failed or stands still, in one word."
    )
    message: Annotated[str, Field(max_length=32768)] | None = Field(
        default=None, description="Why the last try failed or stands still, in the cloud's words."
    )
    time: Timestamp | None = Field(
        default=None, description="When the claim was asked for, or when the last try failed."
    )
    ready_at: Timestamp | None = Field(
        default=None, description="When the claim became Ready; none where it never was."
    )
    next_attempt_at: Timestamp | None = Field(
        default=None, description="When the next try is made."
    )
    given_back: Annotated[tuple[str, ...], Field(max_length=16)] = Field(
        default=(),
        exclude_if=_is_empty,
        description="NodeClaims that were deleted since their machines were broken; none again "
        "once a machine has been well for an hour.",
    )


class GpuFailure(Model):
    """One time that a server lost its GPU."""

    node: Annotated[str, Field(max_length=253)] = Field(description="Name of the node.")
    time: Timestamp = Field(description="When the server ended.")


class WorkspaceStatus(Model):
    """What the operator reports about a Workspace."""

    worker_nodes: tuple[str, ...] = Field(default=(), description="Names of the nodes in use.")
    target_node_count: NonNegative | None = Field(
        default=None, description="Number of nodes that the Workspace is to have."
    )
    state: str | None = Field(
        default=None,
        description=(
            "Pending, Ready or NotReady for inference; Running, Succeeded or Failed for tuning."
        ),
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="What holds and what does not, with the reason."
    )
    performance: Performance | None = Field(
        default=None, description="What the model was measured to do."
    )
    phase: str | None = Field(default=None, description="The step that is under way, in one word.")
    progress: str | None = Field(
        default=None, description="How far that step is, and what is left of it."
    )
    startup: Startup | None = Field(default=None, description="Seconds that each phase took.")
    download: Download | None = Field(default=None, description="How far the weights are.")
    plan: PlanStatus | None = Field(
        default=None, description="What was worked out before anything was bought."
    )
    endpoint: Endpoint | None = Field(default=None, description="Where the model answers.")
    model: ModelIdentity | None = Field(default=None, description="Which model answers.")
    rollout: Rollout | None = Field(
        default=None, description="Which revision of the pod serves, and which was taken back."
    )
    tuning: TrainingStatus | None = Field(default=None, description="How far the tuning is.")
    observed_generation: Integer | None = Field(
        default=None, description="Generation of the Workspace that this status speaks of."
    )
    node_attempts: tuple[NodeAttempt, ...] = Field(
        default=(), description="The tries to get each node; after a failure the next waits longer."
    )

    gpu_failures: Annotated[tuple[GpuFailure, ...], Field(max_length=64)] = Field(
        default=(),
        exclude_if=_is_empty,
        description="When servers lost their GPU, within the last 15 minutes.",
    )

    def condition(self, condition_type: str) -> Condition | None:
        """Give the condition of one type, or None where it was never set."""
        return next((each for each in self.conditions if each.type == condition_type), None)
