"""The page docs/stages.md: a sentence about each stage, and what kubectl prints there."""

from tests.stages.walk import Shot

HEAD = """\
<!-- Written by `make stages`; a test holds it against a real API server -->

# What you see, stage by stage

One Workspace, and what kubectl prints of it at each stage of its life. The cloud, the kubelet and
the model were played; the API server, the operator and kubectl are real. Names, times and seconds
differ from run to run and are masked. What each reason means and asks of you is in
[conditions.md](conditions.md).
"""

STAGES = {
    "typo": ("A typo in the preset", "Refused at the door, with the name that was meant."),
    "too small": (
        "The GPU is too small",
        (
            "Taken, since a table of machines is never complete; nothing is bought. The message "
            "has the arithmetic and the machines that would do."
        ),
    ),
    "no capacity": (
        "The cloud has no machine",
        (
            "Karpenter deletes a claim that cannot be had; its reason stays, with the number of "
            "tries and the time of the next."
        ),
    ),
    "machine": ("A machine is asked for", "The first minutes of every start."),
    "gpu": (
        "The node has joined, its GPU has not shown",
        "Drivers and device plugin take two to five minutes.",
    ),
    "image": ("The image is pulled", "It holds the weights: 15 GB for Mistral 7B."),
    "no image": (
        "The image cannot be pulled",
        (
            "The registry's own words, the node and the image. `Stalled` and the Warning say that "
            "somebody has to act."
        ),
    ),
    "weights": ("The weights are loaded", "The server counts the bytes; `PROGRESS` shows them."),
    "ready": (
        "Ready",
        (
            "A token was generated through the pod. `Startup` has the seconds of every phase, "
            "`Model` what the server attests."
        ),
    ),
    "crash": (
        "The server crashed",
        (
            "What served serves no more: `STATE` is NotReady, and the server's last words are the "
            "root cause."
        ),
    ),
    "deletion": (
        "It is being deleted",
        "The Workspace stays until its machines are gone, so that none is paid for unseen.",
    ),
}


def render(shots: list[Shot]) -> str:
    """Return the page."""
    return HEAD + "".join(_section(number, shot) for number, shot in enumerate(shots, start=1))


def _section(number: int, shot: Shot) -> str:
    title, prose = STAGES[shot.stage]
    blocks = [_block(command, printed) for command, printed in shot.outputs.items()]
    return f"\n## {number}. {title}\n\n{prose}\n\n" + "\n".join(blocks)


def _block(command: str, printed: str) -> str:
    text = f"```console\n$ {command}\n{printed.strip()}\n```\n"
    if not command.startswith("kubectl describe"):
        return text
    return f"<details><summary><code>{command}</code></summary>\n\n{text}\n</details>\n"
