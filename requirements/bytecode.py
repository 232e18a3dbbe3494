"""
Write an image's bytecode anew, so that it says nothing about when the image was built.

Python writes into each `.pyc` the time of its source, and compiles anew where the two differ: two
builds of the same files then differ too, and a build that gives all files one time leaves bytecode
that nobody uses, on a root that nobody can write. So what imports have left is compiled once more
with a hash of the source in that place, which Python does not compare: the files of an image do
not change.

Imports the standard library only; runs in the image build, by the image's own Python.

    PYTHONDONTWRITEBYTECODE=1 python bytecode.py /opt/venv /app
"""

import sys
from collections.abc import Iterable
from importlib.util import source_from_cache
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_file

# Source: PEP 552; the second four bytes are flags, and none is set where a time follows.
FLAGS = slice(4, 8)
TIMED = bytes(4)


def rewrite(folders: Iterable[Path]) -> int:
    """Compile every file anew whose bytecode has a time in it; return how many there were."""
    count = 0
    for cached in sorted(found for each in folders for found in each.rglob("__pycache__/*.pyc")):
        if cached.read_bytes()[FLAGS] != TIMED:
            continue
        source = source_from_cache(str(cached))
        cached.unlink()
        compile_file(
            source,
            cfile=str(cached),
            doraise=True,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
        count += 1
    return count


if __name__ == "__main__":
    sys.stdout.write(f"bytecode: {rewrite(map(Path, sys.argv[1:]))} files\n")
