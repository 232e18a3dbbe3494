"""
Start etcd and kube-apiserver, and know when they are ready.

Both sizes of the throw-away cluster start here: on the loopback address (control_plane.py), or
inside a network namespace by way of `prefix`. The API server authorizes by RBAC and Node as a real
one does, with its default admission plugins plus OwnerReferencesPermissionEnforcement, so a missing
permission shows up here and not in a customer's cluster.
"""

import http.client
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.binaries import ensure
from tests.cluster.credentials import (
    bearer_token,
    signing_key,
    token_file,
    write_kubeconfig,
    write_secret,
)
from tests.cluster.processes import Process, start

ETCD, API_SERVER, CONTROLLER_MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
READY_SECONDS = 50  # 3 to 10 s where the machine is idle; a busy one gets the benefit of the doubt
# The first names that clients need and that the API server makes only after it calls itself ready.
FIRST_OBJECTS = ("/api/v1/namespaces/default", "/api/v1/namespaces/kube-system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an API server and its etcd listen, and where their files are."""

    directory: Path
    context: str  # name of the kubeconfig's context
    host: str  # address that clients, and certificates, use
    port: int
    etcd_ports: tuple[int, int]  # for clients, for peers
    bind_address: str = "127.0.0.1"
    service_range: str = "10.96.0.0/16"  # 5,000 Services and more
    publish_endpoint: bool = False  # whether Service `kubernetes` leads to `host`; not for loopback
    prefix: tuple[str, ...] = ()  # e.g. nsenter --net=..., put before each command

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.host}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """What the API server shows; also the authority to check it with (it is self-signed)."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def signing_key(self) -> Path:
        """The key of service account tokens, also for kube-controller-manager."""
        return self.directory / "service-account.key"


def start_api_server(endpoint: Endpoint, extra_arguments: Sequence[str] = ()) -> None:
    """
    Start etcd and kube-apiserver, wait until they are ready, and write the kubeconfig.

    Args:
        endpoint: where to.
        extra_arguments: more flags for kube-apiserver.

    Raises:
        NotReadyError: one of them ended or was not ready in time; the message has its log's tail.
    """
    programs = ensure([ETCD, API_SERVER])
    token = bearer_token()
    tokens = endpoint.directory / "tokens.csv"
    write_secret(tokens, token_file(token))
    write_secret(endpoint.signing_key, signing_key())
    start(endpoint.directory, ETCD, [*endpoint.prefix, programs[ETCD], *_etcd_arguments(endpoint)])
    arguments = [*_api_server_arguments(endpoint, tokens), *extra_arguments]
    server = start(
        endpoint.directory, API_SERVER, [*endpoint.prefix, programs[API_SERVER], *arguments]
    )
    wait_until_ready(endpoint.host, endpoint.port, endpoint.certificate, token, server)
    write_kubeconfig(
        endpoint.kubeconfig,
        name=endpoint.context,
        server=endpoint.server,
        authority=endpoint.certificate,
        token=token,
    )


def start_controller_manager(endpoint: Endpoint, controllers: Sequence[str] = ("*",)) -> Process:
    """Start kube-controller-manager with some controllers, e.g. garbage-collector-controller."""
    program = ensure([CONTROLLER_MANAGER])[CONTROLLER_MANAGER]
    arguments = [
        f"--kubeconfig={endpoint.kubeconfig}",
        f"--controllers={','.join(controllers)}",
        f"--service-account-private-key-file={endpoint.signing_key}",
        f"--root-ca-file={endpoint.certificate}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    return start(endpoint.directory, CONTROLLER_MANAGER, [*endpoint.prefix, program, *arguments])


def wait_until_ready(host: str, port: int, certificate: Path, token: str, process: Process) -> None:
    """Wait until the API server is ready and has made the namespaces that it makes by itself."""

    def ready() -> bool:
        paths = ("/readyz", *FIRST_OBJECTS)
        return certificate.exists() and all(
            answers(host, port, path, certificate, token) for path in paths
        )

    process.wait_until(ready, what="ready", deadline_seconds=READY_SECONDS)


def answers(host: str, port: int, path: str, certificate: Path, token: str) -> bool:
    """Tell whether a GET gives 200."""
    try:
        trust = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=trust)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def _etcd_arguments(endpoint: Endpoint) -> list[str]:
    client, peer = (f"http://127.0.0.1:{port}" for port in endpoint.etcd_ports)
    return [
        f"--data-dir={endpoint.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # nothing of it outlives the cluster
        "--log-level=warn",
    ]


def _api_server_arguments(endpoint: Endpoint, tokens: Path) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{endpoint.etcd_ports[0]}",
        f"--secure-port={endpoint.port}",
        f"--bind-address={endpoint.bind_address}",
        f"--advertise-address={endpoint.host}",
        f"--endpoint-reconciler-type={'lease' if endpoint.publish_endpoint else 'none'}",
        f"--cert-dir={endpoint.certificate.parent}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={endpoint.signing_key}",
        f"--service-account-key-file={endpoint.signing_key}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={endpoint.service_range}",
        "--allow-privileged=true",
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
        "--kubelet-preferred-address-types=InternalIP",  # else logs and exec look a name up
    ]
