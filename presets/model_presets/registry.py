"""
Carry a folder as an OCI image: pull the folder /data of one, push a folder as one.

KAITO's convention: an image whose folder /data holds an adapter or training data. What comes from a
registry is held against the digests of its manifest before a byte of it is unpacked, and only plain
files below /data are taken: no links, no devices, no path that leads elsewhere. What is pushed is a
whole image (a config with its layer's digest), so that a kubelet can mount it as a volume too, and
the same folder gives the same digest.

oras speaks to the registry, with Docker's own config file for credentials; it is imported where it
is used (extras `inference` and `tuning`).
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oras.container import Container
    from oras.provider import Registry

FOLDER = "data"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST_TYPES = [
    MANIFEST_TYPE,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
]
_CHUNK_BYTES = 1 << 20
# What is no reference would be looked for at docker.io, in so many tries.
# Source: grammar of github.com/distribution/reference; a digest is a registry's SHA-256.
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_WORD}(?:/{_WORD})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)
TIMEOUT_SECONDS = 30.0
LOCAL_HOSTS = ("localhost", "127.0.0.1")


class RegistryFailed(Exception):
    """Say which image could not be pulled or pushed, why, and what to look at."""


def pull_folder(
    reference: str, directory: Path, *, auth: Path | None = None, plain_http: bool = False
) -> list[str]:
    """
    Write the files below /data of an image into a folder.

    Args:
        reference: The image, by tag or digest.
        directory: Where to; made when it is missing.
        auth: Docker's config.json with the credentials, or a folder of several; none for a public
            image.
        plain_http: Speak HTTP without TLS; registries on this machine are spoken to so anyway.

    Returns:
        The paths that were written, below the folder.

    Raises:
        RegistryFailed: when the image cannot be had, is not what its manifest says, or holds no
            file below /data.
    """
    registry, container = _open(reference, auth, plain_http=plain_http)
    manifest = _manifest(registry, container, reference)
    directory.mkdir(parents=True, exist_ok=True)
    written: dict[str, None] = {}
    for layer in manifest["layers"]:
        with tempfile.NamedTemporaryFile(prefix="layer-") as blob:
            _download(registry, container, layer, Path(blob.name), reference)
            written.update(dict.fromkeys(_unpack(Path(blob.name), directory, reference)))
    if not written:
        raise RegistryFailed(f"{reference}: no file below /{FOLDER}; put the files there")
    return list(written)


def push_folder(
    directory: Path,
    names: Iterable[str],
    reference: str,
    *,
    auth: Path | None = None,
    plain_http: bool = False,
    annotations: dict[str, str] | None = None,
) -> str:
    """
    Push files of a folder as an image that holds them below /data.

    Args:
        directory: The folder.
        names: Which of its files.
        reference: The image, with its tag.
        auth: Docker's config.json with the credentials.
        plain_http: Speak HTTP without TLS.
        annotations: Of the manifest.

    Returns:
        The digest of the manifest.

    Raises:
        RegistryFailed: when the registry refuses.
    """
    registry, container = _open(reference, auth, plain_http=plain_http)
    archive = _archive(directory, sorted(names))
    layer = gzip.compress(archive, mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [_digest(archive)]},
    }
    blobs = [(CONFIG_TYPE, json.dumps(config, sort_keys=True).encode()), (LAYER_TYPE, layer)]
    described = [
        {"mediaType": kind, "digest": _digest(content), "size": len(content)}
        for kind, content in blobs
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described[0],
        "layers": described[1:],
        "annotations": annotations or {},
    }
    with _explained(reference, "push"):
        for (_, content), blob in zip(blobs, described, strict=True):
            with tempfile.NamedTemporaryFile(prefix="blob-") as file:
                file.write(content)
                file.flush()
                _check(registry.upload_blob(file.name, container, blob))
        answer = registry.upload_manifest(manifest, container)
        _check(answer)
    return str(answer.headers.get("Docker-Content-Digest", ""))


def _open(reference: str, auth: Path | None, *, plain_http: bool) -> "tuple[Registry, Container]":
    from oras.container import Container  # noqa: PLC0415 - see the module's docstring
    from oras.provider import Registry  # noqa: PLC0415 - the same

    if not REFERENCE.fullmatch(reference):
        raise RegistryFailed(
            f"{reference!r}: no image reference; write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], "
            "NAME in lower case, without a scheme"
        )
    container = Container(reference)
    local = container.registry.split(":")[0] in LOCAL_HOSTS
    insecure = plain_http or local
    backend = _backend(f"{'http' if insecure else 'https'}://{container.registry}/v2/", reference)
    if backend == "basic" and auth is None:
        raise RegistryFailed(f"{reference}: the registry asks for a password; give its secret")
    registry = Registry(insecure=insecure, auth_backend=backend)
    registry.auth.load_configs(container, configs=_configs(auth))
    return registry, container


def _configs(auth: Path | None) -> list[str] | None:
    """Return Docker's configurations: one file, or every *.json of a folder."""
    if auth is None:
        return None
    return sorted(map(str, auth.glob("*.json"))) if auth.is_dir() else [str(auth)]


def _backend(url: str, reference: str) -> str:
    """Ask a registry how it wants to be convinced: by a token service, or by a password at once."""
    import requests  # noqa: PLC0415 - oras's client

    with _explained(reference, "registry's"):
        challenge = requests.get(url, timeout=TIMEOUT_SECONDS).headers.get("WWW-Authenticate", "")
    return "basic" if challenge.lower().startswith("basic") else "token"


def _manifest(registry: "Registry", container: "Container", reference: str) -> dict[str, Any]:
    content = _read_manifest(registry, container, reference)
    if "manifests" in content:
        chosen = next(
            (
                each
                for each in content["manifests"]
                if each.get("platform", {}).get("os") == "linux"
                and each["platform"].get("architecture") == "amd64"
            ),
            None,
        )
        if chosen is None:
            raise RegistryFailed(f"{reference}: no image for linux/amd64 in it")
        container.digest = chosen["digest"]
        content = _read_manifest(registry, container, reference)
    if not isinstance(content.get("layers"), list):
        raise RegistryFailed(f"{reference}: not an image; its manifest has no layers")
    return content


def _read_manifest(registry: "Registry", container: "Container", reference: str) -> dict[str, Any]:
    with _explained(reference, "pull"):
        content = registry.get_manifest(container, allowed_media_type=_MANIFEST_TYPES)
    if not isinstance(content, dict):
        raise RegistryFailed(f"{reference}: the registry's manifest is no JSON object")
    return content


def _download(
    registry: "Registry", container: "Container", layer: dict[str, Any], path: Path, reference: str
) -> None:
    digest = str(layer["digest"])
    with _explained(reference, "pull"):
        registry.download_blob(container, digest, str(path))
    with path.open("rb") as stream:
        found = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    if found != digest:
        raise RegistryFailed(f"{reference}: layer {digest}: its bytes have the digest {found}")


def _unpack(blob: Path, directory: Path, reference: str) -> list[str]:
    """Take the plain files below /data out of one layer."""
    written = []
    try:
        with tarfile.open(blob, "r:*") as archive:
            for member in archive:
                parts = PurePosixPath(member.name.lstrip("./")).parts
                if len(parts) < 2 or parts[0] != FOLDER or member.isdir():  # noqa: PLR2004 - /data/x
                    continue
                if not member.isfile() or ".." in parts:
                    raise RegistryFailed(f"{reference}: {member.name}: not a plain file; refused")
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                target = directory.joinpath(*parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with stream, target.open("wb") as file:
                    while chunk := stream.read(_CHUNK_BYTES):
                        file.write(chunk)
                written.append("/".join(parts[1:]))
    except tarfile.TarError as error:
        raise RegistryFailed(f"{reference}: a layer is no tar archive ({error})") from error
    return written


def _archive(directory: Path, names: list[str]) -> bytes:
    """Pack files as the same bytes whatever the clock and the user are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            content = (directory / name).read_bytes()
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@contextmanager
def _explained(reference: str, doing: str) -> Iterator[None]:
    """Say of any failure of the registry which image it was, and what to look at."""
    import requests  # noqa: PLC0415 - oras's client

    try:
        yield
    except (requests.RequestException, ValueError) as error:
        raise RegistryFailed(
            f"{reference}: {error}; check the name, the registry, and the {doing} secret"
        ) from error


def _check(answer: Any) -> None:  # noqa: ANN401 - requests.Response
    if not answer.ok:
        raise ValueError(f"HTTP {answer.status_code}")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
