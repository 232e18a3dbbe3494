"""
The secrets of one throw-away cluster: made on the spot, without openssl, worth nothing elsewhere.

kube-apiserver makes its own serving certificate; what it wants from us is a key to sign service
account tokens with and a file of bearer tokens. Files are readable by this user only.
"""

import base64
import secrets
from pathlib import Path

import yaml

# The order of the curve P-256: private keys are the numbers below it. Source: SEC 2, secp256r1.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# DER of ECPrivateKey {1, 32 bytes, [0] prime256v1}, before and after the bytes. Source: RFC 5915.
DER_HEAD = bytes.fromhex("303102010104 20")
DER_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only this user may read."""
    path.touch(mode=0o600)
    path.write_text(text)


def signing_key() -> str:
    """Return a new private key for service account tokens (EC P-256, signs as ES256), as PEM."""
    number = secrets.randbelow(P256_ORDER - 1) + 1
    encoded = base64.encodebytes(DER_HEAD + number.to_bytes(32, "big") + DER_TAIL).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{encoded}-----END EC PRIVATE KEY-----\n"


def bearer_token() -> str:
    """Return a new random token."""
    return secrets.token_hex(16)


def token_file(administrator_token: str) -> str:
    """Return the contents of --token-auth-file: one administrator."""
    return f'{administrator_token},atelier-admin,atelier-admin,"system:masters"\n'


def write_kubeconfig(path: Path, *, name: str, server: str, authority: Path, token: str) -> None:
    """
    Write a kubeconfig that needs no other file.

    Args:
        path: the file to write.
        name: of its one context.
        server: URL of the API server.
        authority: PEM file of the certificate that the server must show.
        token: bearer token.
    """
    certificate = base64.b64encode(authority.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": certificate},
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    write_secret(path, yaml.safe_dump(config, sort_keys=False))
