"""
What the status remembers of the revisions of the pod; ``status`` has the rest.

Must not import kopf, kubernetes, asyncio, os or time.
"""

from typing import Annotated

from pydantic import Field

from workspace_operator.api.model import Model, Timestamp


class Rollout(Model):
    """Which revision of the pod has proved itself, and which one is tried or was taken back."""

    serving: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The revision that last generated a token."
    )
    candidate: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The revision that is being tried."
    )
    since: Timestamp | None = Field(default=None, description="When its trial began.")
    failed: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The revision that was taken back; an edit tries another."
    )
    message: Annotated[str, Field(max_length=32768)] | None = Field(
        default=None, description="Why it was taken back."
    )
