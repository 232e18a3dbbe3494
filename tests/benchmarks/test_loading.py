"""The load of weights that the benchmark times is the server's own, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.serving.models import make_models

pytestmark = pytest.mark.timeout(240)  # torch is imported anew


def test_reading_and_loading_are_told_in_one_line(tmp_path: Path) -> None:
    (folder,) = make_models(tmp_path, ["tiny"]).values()
    line = [sys.executable, "-m", "benchmarks.serving.loading", str(folder)]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=200)  # noqa: S603 - our own program
    told = json.loads(done.stdout)
    assert set(told) == {"read_seconds", "load_seconds"}
    assert min(told.values()) > 0
