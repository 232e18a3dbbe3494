"""
What the status says about a training; ``status`` has the rest.

Must not import kopf, kubernetes, asyncio, os or time.
"""

from typing import Annotated

from pydantic import Field

from workspace_operator.api.model import Model

Count = Annotated[int, Field(strict=True, ge=0)]
Figure = Annotated[float, Field(ge=0)]


class TrainingStatus(Model):
    """How far a tuning is; figures of its last report."""

    phase: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="What is being done: loading, preparing, training, saving, pushing, succeeded "
        "or failed.",
    )
    step: Count | None = Field(default=None, description="Optimizer steps that are done.")
    steps: Count | None = Field(default=None, description="Optimizer steps in all.")
    loss: Figure | None = Field(default=None, description="Training loss of the last report.")
    first_loss: Figure | None = Field(
        default=None, description="Training loss of the first report of this pod."
    )
    tokens_per_second: Figure | None = Field(
        default=None, description="Tokens trained on per second, since this pod began to train."
    )
    seconds_left: Count | None = Field(
        default=None, description="Seconds until the last step at this pace."
    )
