"""
Say what a plan makes of a manifest that is allowed, and is not what its author may think.

Invariant: a note refuses nothing. Must not import the other files of `plan` but hardware.
"""

from workspace_operator.api import Workspace
from workspace_operator.api.annotations import TYPES_ANNOTATION, idle_notes
from workspace_operator.plan.hardware import doubts
from workspace_operator.settings import NodeProvisioner, Settings


def notes_of(
    workspace: Workspace, left_out: tuple[str, ...], settings: Settings
) -> tuple[str, ...]:
    """Say what the manifest asks for and this operator has no use for."""
    byo = settings.node_provisioner is NodeProvisioner.BYO
    notes = [*idle_notes(workspace.annotations), *doubts(workspace, settings)]
    if left_out:
        notes.append(
            f"left out of the instance types, since they cannot hold the model: "
            f"{', '.join(left_out)}"
        )
    if workspace.resource.preferred_nodes:
        notes.append(
            "resource.preferredNodes has no effect: choose nodes by resource.labelSelector"
        )
    for named, where in (
        (workspace.resource.instance_type, "resource.instanceType"),
        (workspace.annotations.get(TYPES_ANNOTATION), f"annotation {TYPES_ANNOTATION}"),
    ):
        if byo and named:
            notes.append(f"{where} buys nothing here: nodes are brought by you")
    return tuple(notes)
