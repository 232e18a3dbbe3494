"""The throw-away cluster stands on its own: neither half of the product is imported for it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOREIGN = {"workspace_operator", "model_server", "model_presets", "kopf", "kubernetes", "torch"}


def test_the_command_line_imports_nothing_of_the_product() -> None:
    code = "import sys, tests.cluster.__main__; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - this interpreter, our module
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "yaml" in loaded, "the list is one of modules"
    assert loaded & FOREIGN == set()
