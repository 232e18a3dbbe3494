"""
Hand the machine's way to the package registries into a build, without leaving it in the image.

Behind a proxy or an own certificate authority, a build needs what the machine is set up with. The
certificates go in as a read-only mount, index and proxy as build arguments of `RUN` lines: neither
is part of the image, and none of it is written into a file of this repository.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.surroundings import variable

# Source: the certificate bundle of Debian's ca-certificates.
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def certificate_bundle() -> Path | None:
    """Return the certificates that this machine trusts, as one file, where there is one."""
    named = variable("SSL_CERT_FILE")
    bundle = Path(named) if named else SYSTEM_BUNDLE
    return bundle if bundle.is_file() else None


def copy_certificates(folder: Path) -> Path | None:
    """Put the machine's certificates into a folder that a build can mount; return the copy."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = certificate_bundle()
    if bundle is None:
        return None
    return Path(shutil.copyfile(bundle, folder / "ca.pem"))


def index_arguments() -> dict[str, str]:
    """Return the package index as build arguments, where this machine is set up with another."""
    index = variable("PIP_INDEX_URL") or _configured_index()
    found = {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": variable("UV_DEFAULT_INDEX") or index}
    return {name: value for name, value in found.items() if value}


def uv_cache() -> Path:
    """Return uv's cache folder on this machine: what `make setup` fetched is not fetched again."""
    named = variable("UV_CACHE_DIR")
    fallback = Path(variable("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    folder = Path(named) if named else fallback
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _configured_index() -> str | None:
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
