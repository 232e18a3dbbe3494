"""The bill of materials says what the lock file says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
IMAGES = ("operator", "inference", "tuning")


@pytest.mark.parametrize("name", IMAGES)
def test_the_bill_is_the_lock_files(name: str, tmp_path: Path) -> None:
    lock = tmp_path / f"{name}.lock"
    lock.write_text((REQUIREMENTS / lock.name).read_text())
    subprocess.run([sys.executable, REQUIREMENTS / "sbom.py", lock], check=True)  # noqa: S603 (ours)
    kept = (REQUIREMENTS / f"{name}.cdx.json").read_text()
    assert lock.with_suffix(".cdx.json").read_text() == kept, "make lock"


@pytest.mark.parametrize("name", IMAGES)
def test_every_pinned_package_is_in_it_once_with_its_hashes(name: str) -> None:
    lines = (REQUIREMENTS / f"{name}.lock").read_text().splitlines()
    pins = [
        line.split(" ")[0].partition(";")[0] for line in lines if "==" in line and line[0] != " "
    ]
    components = json.loads((REQUIREMENTS / f"{name}.cdx.json").read_text())["components"]
    assert [f"{each['name']}=={each['version']}" for each in components] == pins
    assert all(each["hashes"] for each in components)
    hashes = sum(line.lstrip().startswith("--hash=sha256:") for line in lines)
    assert sum(len(each["hashes"]) for each in components) == hashes
