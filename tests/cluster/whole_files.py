"""Write small files so that a reader, also one after a crash, sees all of one or nothing of it."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, then move it there."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
