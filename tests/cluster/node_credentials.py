"""
Who a kubelet is to the API server, and who the API server is to a kubelet.

One authority per cluster, made with openssl, signs client certificates only: one for each node
(`system:node:<name>`, so that the Node authorizer and NodeRestriction apply as on a real cluster)
and one that the API server shows to kubelets when it fetches logs or opens a shell.
"""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.credentials import write_secret

VALID_DAYS = 7
KEY_KIND = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
# Bound to ClusterRole system:kubelet-api-admin, which every API server makes.
API_SERVER_NAME = "atelier-api-server"
KUBELET_ACCESS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "atelier-api-server-kubelets"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:kubelet-api-admin",
    },
    "subjects": [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": API_SERVER_NAME}
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key and the certificate to it, as PEM files."""

    key: Path
    certificate: Path


def authority(directory: Path) -> KeyPair:
    """Return where the cluster's authority is."""
    folder = directory / "certificates"
    return KeyPair(key=folder / "nodes-ca.key", certificate=folder / "nodes-ca.crt")


def make_authority(directory: Path) -> KeyPair:
    """Make the authority that signs the certificates of nodes."""
    pair = authority(directory)
    pair.key.parent.mkdir(mode=0o700, exist_ok=True)
    _openssl(pair, "/CN=atelier-nodes")
    return pair


def issue(directory: Path, name: str, subject: str) -> KeyPair:
    """Make a client certificate for a subject, e.g. /O=system:nodes/CN=system:node:system."""
    signer = authority(directory)
    folder = signer.key.parent
    pair = KeyPair(key=folder / f"{name}.key", certificate=folder / f"{name}.crt")
    _openssl(
        pair,
        subject,
        *("-CA", str(signer.certificate), "-CAkey", str(signer.key)),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=clientAuth"),
    )
    return pair


def api_server_arguments(directory: Path) -> list[str]:
    """Return the flags that make kube-apiserver trust nodes, and nodes trust it."""
    client = issue(directory, "kubelet-client", f"/CN={API_SERVER_NAME}")
    return [
        f"--client-ca-file={authority(directory).certificate}",
        f"--kubelet-client-certificate={client.certificate}",
        f"--kubelet-client-key={client.key}",
    ]


def write_node_kubeconfig(path: Path, pair: KeyPair, *, server: str, certificate: Path) -> None:
    """Write a kubeconfig that needs no other file and shows a client certificate."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "node",
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": "node"}}],
        "clusters": [
            {
                "name": "node",
                "cluster": {"server": server, "certificate-authority-data": _encoded(certificate)},
            }
        ],
        "users": [
            {
                "name": "node",
                "user": {
                    "client-certificate-data": _encoded(pair.certificate),
                    "client-key-data": _encoded(pair.key),
                },
            }
        ],
    }
    write_secret(path, yaml.safe_dump(config, sort_keys=False))


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(pair: KeyPair, subject: str, *more: str) -> None:
    command = ["openssl", "req", "-x509", *KEY_KIND, "-days", str(VALID_DAYS), "-subj", subject]
    command += ["-keyout", str(pair.key), "-out", str(pair.certificate), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl req for {subject}: {done.stderr.strip()}")
