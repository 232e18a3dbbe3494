"""
Read the stages of a Dockerfile, and which of them one target is made of.

Both builders leave out the stages that a target does not stand on or copy from: so an image's
inputs and promises are those of its own stages, not of the whole file.
"""

import re
from dataclasses import dataclass

FROM = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)
COPIED_FROM = re.compile(r"^COPY --from=(\S+) ", re.MULTILINE)
COPIED = re.compile(r"^COPY (?!--from)(.*) \S+$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """
    Hold one stage of a Dockerfile.

    Attributes:
        name: As other stages call it; empty for one without.
        base: What it stands on: a stage or an image.
        text: Its instructions.
    """

    name: str
    base: str
    text: str

    @property
    def sources(self) -> set[str]:
        """Return what it copies from the context."""
        return {word for words in COPIED.findall(self.text) for word in words.split()}


def stages_of(dockerfile: str) -> list[Stage]:
    """Return all stages of a Dockerfile's text, in its order."""
    found = list(FROM.finditer(dockerfile))
    ends = [*(each.start() for each in found[1:]), len(dockerfile)]
    return [
        Stage(name=each[2] or "", base=each[1], text=dockerfile[each.end() : end])
        for each, end in zip(found, ends, strict=True)
    ]


def made_of(dockerfile: str, target: str) -> list[Stage]:
    """
    Return the stages that a target needs, itself last.

    Args:
        dockerfile: The text.
        target: A stage's name; empty for the last stage.
    """
    stages = stages_of(dockerfile)
    names = [stage.name for stage in stages]
    wanted = {names.index(target) if target else len(stages) - 1}
    for number in range(len(stages) - 1, -1, -1):
        if number in wanted:
            stage = stages[number]
            needs = (stage.base, *COPIED_FROM.findall(stage.text))
            wanted |= {names.index(need) for need in needs if need in names[:number]}
    return [stages[number] for number in sorted(wanted)]
