"""
Say that a Workspace is well written but cannot be carried out, and which ones no preset could help.

Must not import the other files of `plan`.
"""

from workspace_operator.api import Workspace
from workspace_operator.api.weights import WEIGHTS_ANNOTATION, weights_source

RUNTIME_ANNOTATION = "kaito.sh/runtime"
OFFERED_RUNTIME = "transformers"


class PlanError(Exception):
    """
    Tell that a Workspace is well written but cannot be carried out.

    Attributes:
        reason: One word for programs.
        message: Field, value and remedy in a sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep the two parts."""
        super().__init__(message)
        self.reason = reason
        self.message = message


def refuse_what_is_not_offered(workspace: Workspace) -> None:
    """
    Refuse a Workspace that no preset could help; it may name none.

    Raises:
        PlanError: The Workspace asks for something that is not offered.
    """
    inference = workspace.inference
    runtime = workspace.annotations.get(RUNTIME_ANNOTATION, OFFERED_RUNTIME)
    if inference and inference.preset and runtime != OFFERED_RUNTIME:
        raise PlanError(
            "RuntimeNotOffered",
            f"annotation {RUNTIME_ANNOTATION}: {runtime!r} is not offered here; "
            f"set it to {OFFERED_RUNTIME} or remove it",
        )
    weights = weights_source(workspace.annotations)
    if weights.elsewhere and not (inference and inference.preset):
        raise PlanError(
            "WeightsNotOffered",
            f"annotation {WEIGHTS_ANNOTATION}: {weights.text!r} is offered for inference.preset "
            f"only: a tuning takes its base from its image, a template brings its own; remove it",
        )
