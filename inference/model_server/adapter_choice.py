"""
Read which adapters a start asks for: `--adapter NAME=DIR` and `--adapter-strength NAME=0.5`.

An adapter's name is what requests ask for, so it is held to the letters of Kubernetes' names, which
neither a URL nor `base:NAME` can confuse. Names that differ in letter case only are one name, as
everywhere in this API.

Pure. Must not import anything but the standard library.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# KAITO's bound. Source: kaito-project/kaito, api/v1beta1/workspace_validation.go, v0.12.
MOST_ADAPTERS = 10
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


class BadChoice(ValueError):
    """Report a flag that names no adapter that could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterChoice:
    """Say which folder is served under which name, and how much of it."""

    name: str
    directory: Path
    strength: float = 1.0  # 0 to 1, a factor of what the adapter adds


def choices_of(folders: Sequence[str], strengths: Sequence[str]) -> tuple[AdapterChoice, ...]:
    """
    Put both flags together.

    Raises:
        BadChoice: with the flag, its value and what is accepted.
    """
    if len(folders) > MOST_ADAPTERS:
        raise BadChoice(f"--adapter: {len(folders)} are given, at most {MOST_ADAPTERS} are served")
    directories: dict[str, str] = {}
    for text in folders:
        name, directory = _pair("--adapter", text, "NAME=DIR")
        if not NAME.fullmatch(name):
            raise BadChoice(
                f"--adapter {text!r}: {name!r} is no name; use letters, digits, '-', '_' and '.', "
                "with a letter or digit at both ends"
            )
        if name.lower() in map(str.lower, directories):
            raise BadChoice(f"--adapter {text!r}: {name!r} is given twice; names must differ")
        directories[name] = directory
    factors: dict[str, float] = {}
    for text in strengths:
        name, value = _pair("--adapter-strength", text, "NAME=0.5")
        if name not in directories or name in factors:
            given = ", ".join(directories) or "none"
            raise BadChoice(
                f"--adapter-strength {text!r}: give it once for an adapter of --adapter ({given})"
            )
        factors[name] = _strength(text, value)
    return tuple(
        AdapterChoice(name=name, directory=Path(directory), strength=factors.get(name, 1.0))
        for name, directory in directories.items()
    )


def _pair(flag: str, text: str, form: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise BadChoice(f"{flag} {text!r}: write {form}")
    return name, value


def _strength(text: str, value: str) -> float:
    try:
        strength = float(value)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 1:
        raise BadChoice(f"--adapter-strength {text!r}: the strength must be a number from 0 to 1")
    return strength
