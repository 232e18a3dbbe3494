"""
Write a bill of materials (CycloneDX 1.6) for each lock file: names, versions, hashes.

`make lock` runs `python requirements/sbom.py LOCK...`. It is a pure function of the lock
file, without a time or a random number, so a test can hold both equal.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
SPACE = uuid.UUID(
    "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
)  # RFC 4122, appendix C: names that are URLs


def packages(lock: str) -> Iterator[tuple[str, str, list[str]]]:
    """Give name, version and hashes of each package of a lock file."""
    for block in re.split(r"\n(?=\S)", lock):
        found = PIN.match(block)
        if found:
            yield found[1], found[2], HASH.findall(block)


def bill(name: str, lock: str) -> dict[str, Any]:
    """Return the bill of materials of a lock file."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package}@{version}",
            "name": package,
            "version": version,
            "purl": f"pkg:pypi/{package}@{version}",
            "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
        }
        for package, version, hashes in packages(lock)
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": f"atelier-{name}"}},
        "components": components,
    }


def main(locks: list[Path]) -> None:
    """Write a bill beside each lock file."""
    for lock in locks:
        text = json.dumps(bill(lock.stem, lock.read_text()), indent=1) + "\n"
        lock.with_suffix(".cdx.json").write_text(text)


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])
