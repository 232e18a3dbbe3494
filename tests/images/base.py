"""
Make a base image where none can be pulled: a minimal Debian with Python, from Debian's packages.

It stands in for the base that the Dockerfiles name, and has what they rely on: Python 3.11 with its
venv module, certificates and apt. It is made once and kept as a file; documentation, translations
and package lists are left out.
"""

import subprocess
import time
from pathlib import Path

from tests.cluster.packages import find_program, require_debian_packages
from tests.cluster.progress import say
from tests.images.commands import run_logged

SUITE = "bookworm"  # the suite of the Dockerfiles' own base: Python 3.11
PACKAGES = ("ca-certificates", "python3", "python3-venv")
STAND_IN = f"debootstrap-{SUITE}-1"  # the number changes with what is done below
LEFT_OUT = (
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
)


def stand_in_base(folder: Path) -> Path:
    """Return the stand-in's files as a tar archive, made on first use (a minute)."""
    archive = folder / f"{STAND_IN}.tar"
    if archive.exists():
        return archive
    require_debian_packages({"debootstrap": "debootstrap"})
    program = str(find_program("debootstrap"))
    root = folder / f"{STAND_IN}.root"
    say(f"images: base: no registry answers; making a minimal Debian {SUITE} (about a minute)")
    began = time.monotonic()
    remove_tree(root)
    include = f"--include={','.join(PACKAGES)}"
    run_logged(
        [program, "--variant=minbase", include, SUITE, str(root)], folder / "base.log", "base"
    )
    partial = archive.with_suffix(".part")
    excluded = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    numbers = ["--numeric-owner", "--one-file-system"]
    subprocess.run(
        ["tar", *numbers, *excluded, "-C", str(root), "-cf", str(partial), "."], check=True
    )
    partial.rename(archive)
    remove_tree(root)
    size = archive.stat().st_size / 1e6
    say(f"images: base: {size:.0f} MB in {time.monotonic() - began:.0f} s")
    return archive


def remove_tree(root: Path) -> None:
    """Remove a folder with all in it, unmounting what a build may have left mounted there."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    inside = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{root}/")]
    for point in sorted(inside, reverse=True):
        subprocess.run(["umount", point], check=True)
    subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)
