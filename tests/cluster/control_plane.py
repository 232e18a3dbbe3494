"""
A Kubernetes without nodes: etcd and kube-apiserver on the loopback address, ready in seconds.

What a control plane holds is its folder; several may run at once and never meet. There is no
kubelet and, unless asked for, no controller: a Deployment stays an object, a deleted namespace
stays Terminating, and a test plays the parts that it needs played.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import folders
from tests.cluster.api_server import (
    API_SERVER,
    ETCD,
    Endpoint,
    start_api_server,
    start_controller_manager,
    wait_until_ready,
)
from tests.cluster.binaries import binary
from tests.cluster.credentials import write_kubeconfig
from tests.cluster.ports import free_ports
from tests.cluster.processes import Process
from tests.cluster.surroundings import environment

SIZE = "control-plane"
COMMAND_SECONDS = 50
SERVED_SECONDS = 30
# What `kubectl wait` says of a null instead of waiting for it.
NO_CONDITIONS = ".status.conditions accessor error: <nil>"
Manifest = Mapping[str, Any]


class CommandError(RuntimeError):
    """kubectl or helm failed; the message has the command and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A running API server and the folder that it lives in."""

    name: str
    directory: Path
    server: str  # URL

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """PEM file to check the API server's certificate with."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def api_server(self) -> Process:
        """kube-apiserver, for tests that stop, kill or restart it."""
        return Process(directory=self.directory, name=API_SERVER)

    @property
    def etcd(self) -> Process:
        """etcd, for tests that pause it (SIGSTOP, SIGCONT)."""
        return Process(directory=self.directory, name=ETCD)

    def kubectl(
        self,
        *arguments: str,
        check: bool = True,
        text: str | None = None,
        timeout_seconds: float = COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run kubectl as the administrator.

        Args:
            arguments: e.g. "get", "pods".
            check: whether a failure raises.
            text: what it reads on stdin.
            timeout_seconds: how long it may take.

        Raises:
            CommandError: it failed, and `check` is set.
        """
        cache = self.directory / "kubectl-cache"
        command = [str(binary("kubectl")), f"--cache-dir={cache}", *arguments]
        return self._run(command, check=check, text=text, timeout_seconds=timeout_seconds)

    def helm(
        self, *arguments: str, check: bool = True, timeout_seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run helm as the administrator, with no repository and no plugin of the user."""
        command = [str(binary("helm")), *arguments]
        return self._run(command, check=check, timeout_seconds=timeout_seconds)

    def read(self, *arguments: str) -> Any:  # noqa: ANN401 - any JSON: an object of the API or a list
        """Return what `kubectl ... -o json` prints, parsed."""
        return json.loads(self.kubectl(*arguments, "-o", "json").stdout)

    def apply(self, manifests: Path | Manifest | Sequence[Manifest]) -> None:
        """
        Apply by server-side apply with strict field validation; wait for definitions to be served.

        Args:
            manifests: a YAML file or a folder of them, one object, or several.
        """
        arguments = ["apply", "--server-side", "--validate=strict", "--field-manager=atelier-test"]
        if isinstance(manifests, Path):
            done = self.kubectl(*arguments, "--output=name", "-f", str(manifests))
        else:
            several = [manifests] if isinstance(manifests, Mapping) else manifests
            text = yaml.safe_dump_all(dict(each) for each in several)
            done = self.kubectl(*arguments, "--output=name", "-f", "-", text=text)
        definitions = [
            name for name in done.stdout.split() if name.startswith("customresourcedefinition")
        ]
        if definitions:
            self._wait_until_served(definitions)

    def _wait_until_served(self, definitions: Sequence[str]) -> None:
        """Wait for definitions, also for one so new that its list of conditions is null yet."""
        deadline = time.monotonic() + SERVED_SECONDS
        while True:
            try:
                arguments = ("--for=condition=Established", f"--timeout={SERVED_SECONDS}s")
                self.kubectl("wait", *arguments, *definitions)
            except CommandError as error:
                if NO_CONDITIONS not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(0.1)

    def create_namespace(self, name: str | None = None) -> str:
        """Make a namespace with its default service account (no controller makes one here)."""
        name = name or f"test-{uuid.uuid4().hex[:8]}"
        account = {"name": "default", "namespace": name}
        self.apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
            ]
        )
        return name

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """Return a kubeconfig that acts as a service account, by a token of a TokenRequest."""
        asked = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=24h")
        folder = self.directory / "kubeconfigs"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{namespace}.{service_account}"
        write_kubeconfig(
            path,
            name=f"{self.name}-{service_account}",
            server=self.server,
            authority=self.certificate,
            token=asked.stdout.strip(),
        )
        return path

    def administrator_token(self) -> str:
        """Return the bearer token in the administrator's kubeconfig."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        return str(config["users"][0]["user"]["token"])

    def restart_api_server(self) -> None:
        """Start kube-apiserver again, after a kill or in the midst of work, and wait for it."""
        host, port = self.server.removeprefix("https://").split(":")
        process = self.api_server.restart()
        wait_until_ready(host, int(port), self.certificate, self.administrator_token(), process)

    def _run(
        self,
        command: Sequence[str],
        *,
        check: bool,
        text: str | None = None,
        timeout_seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        own = {"KUBECONFIG": str(self.kubeconfig), "KUBERC": "off"} | {
            f"HELM_{kind}_HOME": str(self.directory / "helm" / kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA")
        }
        done = subprocess.run(
            command,
            input=text,
            env=environment() | own,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if check and done.returncode != 0:
            shown = " ".join([Path(command[0]).name, *command[1:]])
            raise CommandError(f"{shown} exited {done.returncode}: {done.stderr.strip()}")
        return done


def start_control_plane(
    name: str,
    *,
    owned: bool = False,
    controllers: Sequence[str] = (),
    api_server_arguments: Sequence[str] = (),
) -> ControlPlane:
    """
    Start a control plane that lives until `folders.remove`.

    Args:
        name: unique on this machine; also the name of the kubeconfig's context, with a prefix.
        owned: whether it may be swept once this process is gone.
        controllers: of kube-controller-manager, e.g. "garbage-collector-controller"; none: not run.
        api_server_arguments: more flags for kube-apiserver, e.g. "--feature-gates=...".
    """
    folders.sweep(SIZE)
    directory = folders.create(name, size=SIZE, owned=owned)
    try:
        port, *etcd_ports = free_ports(3)
        endpoint = Endpoint(
            directory=directory,
            context=f"atelier-{name}",
            host="127.0.0.1",
            port=port,
            etcd_ports=(etcd_ports[0], etcd_ports[1]),
        )
        start_api_server(endpoint, api_server_arguments)
        if controllers:
            start_controller_manager(endpoint, controllers)
    except BaseException:
        folders.remove(directory)
        raise
    return ControlPlane(name=name, directory=directory, server=endpoint.server)


@contextmanager
def control_plane(
    name: str | None = None,
    *,
    controllers: Sequence[str] = (),
    api_server_arguments: Sequence[str] = (),
) -> Iterator[ControlPlane]:
    """Run a control plane for the length of a `with`; arguments as for `start_control_plane`."""
    plane = start_control_plane(
        name or f"test-{os.getpid()}-{uuid.uuid4().hex[:6]}",
        owned=True,
        controllers=controllers,
        api_server_arguments=api_server_arguments,
    )
    try:
        yield plane
    finally:
        folders.remove(plane.directory)
