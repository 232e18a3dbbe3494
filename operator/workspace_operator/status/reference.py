"""
Write the user's page about conditions from the reasons themselves, so that it cannot fall behind.

`make generate` runs `python -m workspace_operator.status.reference`; a test checks that it changes
nothing.
Must not be imported by the operator.
"""

import re
import sys

from workspace_operator.status import (
    event_reasons,
    node_reasons,
    reasons,
    training_reasons,
    weights_reasons,
)
from workspace_operator.status.advice import ADVICE
from workspace_operator.status.finding import Reason

_MODULES = (reasons, event_reasons, node_reasons, training_reasons, weights_reasons)

_HEAD = """\
<!-- Written by `make generate` from operator/workspace_operator/status -->

# Conditions

`kubectl get workspace` shows the sums, `kubectl describe workspace NAME` all of them; [stages.md](stages.md) shows both at every stage. From bottom to top:

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
| `JobStarted` | of a tuning, in place of the five above: its program runs, or has ended well |
| `WorkspaceSucceeded` | the sum of all, with KAITO's reasons; of a tuning: the adapter is there |
| `Ready` | the same, with the root cause in its reason |
| `Stalled` | it stays like this until somebody acts; absent otherwise. With `Ready` it is what kstatus, Flux and Argo CD read |
| `WorkspaceDeleting` | it is being deleted; the message says what it waits for |

A condition that has not been reached yet is False where KAITO has it, else Unknown. A condition's time moves only when its status does. `workspaceFailed` in `WorkspaceSucceeded` means the same as
`Stalled`, and `workspacePending` that it goes on by itself. What is asked for may be refused or taken back while an earlier model answers: then `InferenceReady` and `WorkspaceSucceeded` are True, and
`Ready` is False with the mistake. So it is with a training: while it goes on `JobStarted` is True, and what it has achieved stays. A change of the phase is an Event on the Workspace, once; a Warning where somebody has to act, or where what served serves no more.

# Reasons

The reason of `Ready` is the root cause: the lowest rung that does not hold, folded from NodeClaim, node, pod, the server's own account and Events. Below, words in *italics* are filled in. A reason
that Karpenter gives on a NodeClaim takes the place of `NodeClaimNotReady`.
"""  # noqa: E501 - lines of a page


def render() -> str:
    """Return the page."""
    known = _by_word()
    words = [*ADVICE, *(word for word in known if word not in ADVICE)]
    return _HEAD + "".join(_section(word, known.get(word, [])) for word in words)


def words() -> set[str]:
    """Return the word of every reason that a condition can have."""
    return set(_by_word())


def _by_word() -> dict[str, list[Reason]]:
    found: dict[str, list[Reason]] = {}
    for module in _MODULES:
        for each in vars(module).values():
            if isinstance(each, Reason):
                found.setdefault(each.word, []).append(each)
    return found


def _section(word: str, meanings: list[Reason]) -> str:
    said = "".join(_meaning(each) for each in meanings)
    return f"\n## {word}\n\n{said}{ADVICE.get(word, '')}\n"


def _meaning(reason: Reason) -> str:
    sentence = re.sub(r"\{(\w+)[^}]*\}", r"*\1*", reason.sentence)
    phase = f" (phase `{reason.phase}`{', needs you' if reason.failed else ''})"
    return f"> {sentence}{phase if reason.phase else ''}\n\n"


if __name__ == "__main__":
    sys.stdout.write(render())
