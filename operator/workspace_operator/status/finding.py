"""
Carry one finding about a Workspace from the check that made it to the condition that shows it.

A `Reason` is a kind of finding: the word for programs, the sentence for people with places for the
facts, the phase that a user sees meanwhile, and whether a person has to act. A `Finding` is one
occurrence of it.

Must not import anything of this package but the spelling of conditions.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from workspace_operator.conditions import FALSE, TRUE, UNKNOWN

Verdict = Literal["True", "False", "Unknown"]

# Source: k8s.io/apimachinery, pkg/apis/meta/v1/types.go, type Condition, field reason.
_WORD = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
# As KAITO cuts the texts of a NodeClaim; the object itself holds the rest.
QUOTE_LENGTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    Hold what one check found.

    Attributes:
        verdict: Status of the condition.
        reason: One word for programs.
        message: A sentence that names the object, and the next action where there is one.
        phase: What is under way while this holds the Workspace back.
        progress: How far that is, where it can be said.
        failed: Whether it stays like this until a person acts.
        defers: Whether a later finding explains it better.
    """

    verdict: Verdict
    reason: str
    message: str
    phase: str = ""
    progress: str = ""
    failed: bool = False
    defers: bool = False

    @property
    def holds(self) -> bool:
        """Say whether the condition is true."""
        return self.verdict == TRUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Describe a kind of finding; `sentence` has places for the facts."""

    word: str
    sentence: str
    phase: str = ""
    failed: bool = False
    defers: bool = False
    verdict: Verdict = FALSE

    def found(self, **facts: object) -> Finding:
        """Return an occurrence with its facts."""
        return Finding(
            verdict=self.verdict,
            reason=self.word,
            message=self.sentence.format(**facts),
            phase=self.phase,
            failed=self.failed,
            defers=self.defers,
        )

    def in_the_words_of(self, word: str) -> "Reason":
        """Return this reason under the word of another controller, if that is a word."""
        return replace(self, word=word) if _WORD.fullmatch(word) else self


def holds(word: str, message: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(verdict=TRUE, reason=word, message=message)


def not_known(word: str, message: str) -> Finding:
    """Return the finding that nothing is known yet."""
    return Finding(verdict=UNKNOWN, reason=word, message=message)


def quoted(text: str, *, otherwise: str = "no reason given") -> str:
    """Return another program's text on one line, cut to a length that a terminal shows."""
    line = " ".join(text.split()).rstrip(".")
    if not line:
        return otherwise
    return line if len(line) <= QUOTE_LENGTH else line[: QUOTE_LENGTH - 1] + "…"
