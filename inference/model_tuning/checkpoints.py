"""
Know which checkpoints of a killed training are whole.

A checkpoint is a folder of several files, written one after the other; a process that is killed in
between leaves one that looks like the others and cannot be resumed. So a mark is written last, and
a folder without it is removed.

Imports the standard library only.
"""

import re
import shutil
from pathlib import Path

MARK = "complete"
_FOLDER = re.compile(r"checkpoint-(\d+)")


def mark_complete(folder: Path, step: int) -> None:
    """Write the mark of the checkpoint that was just saved."""
    (folder / f"checkpoint-{step}" / MARK).touch()


def latest(folder: Path) -> tuple[Path, int] | None:
    """
    Return the newest whole checkpoint and its step, and remove the torn ones.

    Args:
        folder: Where the trainer keeps its checkpoints; may be missing.
    """
    whole: list[tuple[int, Path]] = []
    for path in sorted(folder.glob("checkpoint-*")):
        match = _FOLDER.fullmatch(path.name)
        if match is None or not path.is_dir():
            continue
        if (path / MARK).is_file():
            whole.append((int(match[1]), path))
        else:
            shutil.rmtree(path)
    if not whole:
        return None
    step, path = max(whole)
    return path, step
