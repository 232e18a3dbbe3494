"""
Run the programs that a release is made with, and say in their own words why one refused.

None is given a password as an argument: they read them where `docker login` put them, or from the
file that the user names; that of the key is in COSIGN_PASSWORD.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from release.contents import ReleaseError


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """
    Hold where the programs are and what they share.

    Attributes:
        cosign: Signs and verifies.
        helm: Packs and pushes the chart.
        skopeo: Pushes images.
        environment: What they are started with; names the file of passwords, where there is one.
        plain_http: Whether the registry speaks HTTP, which one on this machine may.
    """

    cosign: Path
    helm: Path
    skopeo: Path
    environment: Mapping[str, str]
    plain_http: bool = False


def reading_passwords_from(auth_file: Path) -> dict[str, str]:
    """
    Return the variables by which all three read one file of passwords.

    Raises:
        ReleaseError: cosign would not read it.
    """
    if auth_file.name != "config.json" or not auth_file.is_file():
        raise ReleaseError(f"{auth_file}: not Docker's config.json, which `docker login` writes")
    return {
        "DOCKER_CONFIG": str(auth_file.parent),
        "HELM_REGISTRY_CONFIG": str(auth_file),
        "REGISTRY_AUTH_FILE": str(auth_file),
    }


def output_of(program: Path, *arguments: object, environment: Mapping[str, str]) -> str:
    """
    Run a program and return what it printed, both streams together.

    Raises:
        ReleaseError: it refused; the message has its words.
    """
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(  # noqa: S603 - the programs of a release, with a fixed list of arguments
        command,
        stdin=subprocess.DEVNULL,  # a question for a password would be seen by nobody
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(command[:2])
        raise ReleaseError(f"{shown} ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout
