"""
The Workspace API (group ``kaito.sh``) as Python values: the public face of this package.

Import from here, never from the files below:

- ``workspace`` what a user writes, ``status`` what the operator answers. The
  CustomResourceDefinition is generated from these two, so a field exists in one place only;
- ``rules`` what the fields must satisfy together;
- ``parse`` an object of the API server becomes a ``Workspace`` or an ``InvalidSpec``.

Invariant: pure. Nothing here reads a clock, the environment or a cluster, and nothing here imports
kopf, kubernetes, asyncio, os or time.
"""

from workspace_operator.api.limits import RESERVED_LABEL_PREFIX, RESERVED_LABELS
from workspace_operator.api.model import Model, Timestamp
from workspace_operator.api.parse import InvalidSpec, parse, parse_status
from workspace_operator.api.rollout import Rollout
from workspace_operator.api.status import (
    Condition,
    Download,
    Endpoint,
    ExpectedPhase,
    GpuFailure,
    Metric,
    ModelIdentity,
    NodeAttempt,
    Performance,
    PlanOption,
    PlanStatus,
    Startup,
    WorkspaceStatus,
)
from workspace_operator.api.training import TrainingStatus
from workspace_operator.api.workspace import (
    ALPHA_VERSION,
    FINALIZER,
    GROUP,
    KIND,
    PLURAL,
    STORED_VERSION,
    Adapter,
    DataDestination,
    DataSource,
    Inference,
    LabelExpression,
    LabelSelector,
    Partition,
    Preset,
    PresetOptions,
    Resource,
    Tuning,
    Workspace,
)

__all__ = [
    "ALPHA_VERSION",
    "FINALIZER",
    "GROUP",
    "KIND",
    "PLURAL",
    "RESERVED_LABELS",
    "RESERVED_LABEL_PREFIX",
    "STORED_VERSION",
    "Adapter",
    "Condition",
    "DataDestination",
    "DataSource",
    "Download",
    "Endpoint",
    "ExpectedPhase",
    "GpuFailure",
    "Inference",
    "InvalidSpec",
    "LabelExpression",
    "LabelSelector",
    "Metric",
    "Model",
    "ModelIdentity",
    "NodeAttempt",
    "Partition",
    "Performance",
    "PlanOption",
    "PlanStatus",
    "Preset",
    "PresetOptions",
    "Resource",
    "Rollout",
    "Startup",
    "Timestamp",
    "TrainingStatus",
    "Tuning",
    "Workspace",
    "WorkspaceStatus",
    "parse",
    "parse_status",
]
