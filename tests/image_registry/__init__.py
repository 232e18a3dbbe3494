"""
A real OCI registry on the loopback address: Debian's docker-registry, with or without a password.

Installed on first use, started on a free port with its storage in a folder of the caller's.
"""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.packages import find_program, require_debian_packages
from tests.cluster.ports import free_ports

USER = "tuner"
PASSWORD = "secret"  # noqa: S105 - of a registry that lives for one test
# bcrypt of it, as `htpasswd -nbB` writes it.
HASH = "$2b$05$KXNYkxZhOOwY1i7LbohYsu1oWW8GYc8hcB1ySG2L14Ytpfq8uCZ0i"
READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRegistry:
    """
    Hold where a registry answers.

    Attributes:
        host: Address and port, the first part of an image's name.
        auth: Docker's config.json with the password, where one is asked for.
    """

    host: str
    auth: Path | None


@contextmanager
def serving_registry(
    directory: Path, *, password: bool = False, address: str = "127.0.0.1"
) -> Iterator[RunningRegistry]:
    """Run a registry until the caller is done."""
    require_debian_packages({"docker-registry": "docker-registry"})
    program = find_program("docker-registry")
    assert program is not None
    directory.mkdir(parents=True, exist_ok=True)
    host = f"{address}:{free_ports(1, host=address)[0]}"
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": host},
    }
    auth = None
    if password:
        (directory / "htpasswd").write_text(f"{USER}:{HASH}\n", encoding="utf-8")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
        auth = directory / "config.json"
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        auth.write_text(json.dumps({"auths": {host: {"auth": secret}}}), encoding="utf-8")
    (directory / "config.yml").write_text(json.dumps(config), encoding="utf-8")
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the registry
            [str(program), "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
        try:
            _wait_until_ready(host, process, directory / "registry.log")
            yield RunningRegistry(host=host, auth=auth)
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=1).close()
        except urllib.error.HTTPError:
            return  # it asks for a password: it answers
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the registry does not answer: {log.read_text(encoding='utf-8')}")
