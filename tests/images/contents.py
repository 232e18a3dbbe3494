"""Say what an image holds: its layers, the packages it lists and those that Python finds in it."""

import json
import re
import tarfile
from pathlib import Path

from tests.images.recipes import VERSION
from tests.images.unpacked import Unpacked, read


def layers_of(archive: Path) -> list[tuple[str, int]]:
    """Return digest and bytes of each layer, the lowest first."""
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(read(tar, "manifest.json"))
        config = json.loads(read(tar, manifest["Config"]))
        sizes = [tar.getmember(name).size for name in manifest["Layers"]]
    return list(zip(config["rootfs"]["diff_ids"], sizes, strict=True))


def listed_packages(image: Unpacked) -> set[tuple[str, str]]:
    """Return name and version of each package in an image's bill of materials."""
    bill = json.loads((image.root / "opt/requirements/installed.cdx.json").read_text())
    return {(each["name"], each["version"]) for each in bill["components"]}


def installed_packages(image: Unpacked) -> set[tuple[str, str]]:
    """Return name and version of each package that Python finds in an image beside our own."""
    words = "import json; from importlib.metadata import distributions as all_of; "
    words += "print(json.dumps([(each.name, each.version) for each in all_of()]))"
    installed = json.loads(image.run("python", "-c", words).stdout)
    found = {(re.sub("[-_.]+", "-", each).lower(), version) for each, version in installed}
    return found - {("atelier", VERSION)}
