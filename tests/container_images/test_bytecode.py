"""Bytecode that does not know when it was made, and is used all the same."""

import os
import subprocess
import sys
from pathlib import Path

from requirements.bytecode import rewrite

SOURCE = "VALUE = 1\n"


def imported(folder: Path, seconds: int = 1_000_000_000) -> Path:
    """Let Python write the bytecode of a module as an import does; return its file."""
    (folder / "module.py").write_text(SOURCE)
    os.utime(folder / "module.py", (seconds, seconds))
    words = [sys.executable, "-c", "import module"]
    subprocess.run(words, cwd=folder, check=True, env={})  # noqa: S603 - fixed words
    (cached,) = (folder / "__pycache__").glob("module.*.pyc")
    return cached


def test_the_time_of_the_source_leaves_no_trace(tmp_path: Path) -> None:
    found = []
    for seconds in (1_000_000_000, 1_600_000_000):
        cached = imported(tmp_path, seconds)
        before = cached.read_bytes()
        assert rewrite([tmp_path]) == 1
        found.append((before, cached.read_bytes()))
        cached.unlink()
    (timed, first), (timed_again, second) = found
    assert timed != timed_again
    assert first == second


def test_what_has_no_time_is_left_alone(tmp_path: Path) -> None:
    cached = imported(tmp_path)
    assert rewrite([tmp_path]) == 1
    written = cached.stat().st_mtime_ns
    assert rewrite([tmp_path]) == 0
    assert cached.stat().st_mtime_ns == written


def test_python_uses_it_whatever_the_time_of_the_source(tmp_path: Path) -> None:
    cached = imported(tmp_path)
    rewrite([tmp_path])
    before = cached.read_bytes()
    os.utime(tmp_path / "module.py", (1, 1))
    imported_by = [sys.executable, "-v", "-c", "import module"]
    told = subprocess.run(  # noqa: S603 - fixed words
        imported_by, cwd=tmp_path, check=True, env={}, capture_output=True, text=True
    ).stderr
    assert f"{cached} matches" in told
    assert cached.read_bytes() == before
