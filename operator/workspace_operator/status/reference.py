"""
Write the user's page about conditions from the reasons themselves, so that it cannot fall behind.

`make generate` runs `python -m workspace_operator.status.reference`; a test checks that it changes
nothing.
Must not be imported by the operator.
"""

import re
import sys

from workspace_operator.status import node_reasons, reasons
from workspace_operator.status.finding import Reason

_HEAD = """\
<!-- Written by `make generate` from operator/workspace_operator/status/reasons.py -->

# Conditions

`kubectl get workspace` shows the sums, `kubectl describe workspace NAME` all of them. From bottom
to top:

| condition | True means |
|---|---|
| `SpecValid` | the manifest can be read |
| `PlanFits` | what it asks for is offered, and the model fits the GPU (arithmetic in the message) |
| `NodeClaimReady` | the machines exist (absent where you bring nodes) |
| `NodesReady` | they have joined and show their GPUs |
| `ResourceReady` | the sum of the two above |
| `ImagePulled` | a node holds the image |
| `WeightsLoaded` | a server holds the weights |
| `RolledOut` | the pods are what the manifest asks for now, not an earlier revision |
| `InferenceReady` | a token was generated through a pod that gets requests |
| `WorkspaceSucceeded` | the sum of all, with KAITO's reasons |
| `Ready` | the same, with the root cause in its reason |
| `WorkspaceDeleting` | it is being deleted; the message says what it waits for |

A condition that has not been reached yet is False where KAITO has it, else Unknown. A condition's
time moves only when its status does. `workspaceFailed` in `WorkspaceSucceeded` means that it stays
like this until somebody acts; `workspacePending` that it goes on by itself.

## Reasons

Words in *italics* are filled in. Where Karpenter gives a reason of its own on a NodeClaim
(`InsufficientCapacity`, `LaunchFailed`, ...), it takes the place of `NodeClaimNotReady`; a plan
that is refused has a reason of its own (`MemoryDoesNotFit`, `RuntimeNotOffered`, ...).

| reason | phase | needs you | what it says |
|---|---|---|---|
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(_row(each) for each in _all_reasons())


def _all_reasons() -> list[Reason]:
    return [
        each
        for module in (node_reasons, reasons)
        for each in vars(module).values()
        if isinstance(each, Reason)
    ]


def _row(reason: Reason) -> str:
    sentence = re.sub(r"\{(\w+)[^}]*\}", r"*\1*", reason.sentence).replace("|", "\\|")
    acts = "yes" if reason.failed else ""
    return f"| `{reason.word}` | {reason.phase} | {acts} | {sentence} |\n"


if __name__ == "__main__":
    sys.stdout.write(render())
