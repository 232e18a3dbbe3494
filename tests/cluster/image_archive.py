"""
Container images made from plain files, without a builder, a registry or root.

An image here is one layer and a few settings, written as a docker-archive, which containerd and
every other runtime import. The archive is a function of its arguments: the same files give the same
bytes, so an image that has not changed is recognised by its digest. Two images come from here: the
sandbox ("pause") that holds a pod's namespaces, and the small ones that tests run.
"""

import hashlib
import io
import json
import platform
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# The name that the nodes' containerd is told to use; nothing outside this file's image bears it.
SANDBOX_IMAGE = "docker.io/atelier/sandbox:1"
# Source: the OCI image specification's names for GOARCH.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LOAD_ADDRESS = 0x400000


class UnsupportedMachineError(RuntimeError):
    """There is no sandbox program for this processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """What a runtime has to know about an image."""

    name: str
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "65534:65534"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file of the layer: bytes of our own, or a path to copy (links stay links)."""

    path: PurePosixPath
    content: bytes | Path
    mode: int = 0o755


def sleeper() -> bytes:
    """
    Return a static program that waits forever: the sandbox's only process.

    Assembled by hand, since a C compiler would be a heavy thing to ask for nine bytes of code.
    It is PID 1 of the pod's sandbox, so it ends by SIGKILL only, which is what containerd
    sends.
    """
    if platform.machine() != "x86_64":
        raise UnsupportedMachineError(
            f"no sandbox program for {platform.machine()}: x86_64 is the only one written; name a"
            " cluster of your own (KUBECONFIG) or use kind instead"
        )
    # again: mov eax, 34 (pause); syscall; jmp again. Source: arch/x86/entry/syscalls, Intel SDM.
    code = bytes.fromhex("b8220000000f05ebf7")
    header_bytes, program_bytes = 64, 56
    size = header_bytes + program_bytes + len(code)
    entry = LOAD_ADDRESS + header_bytes + program_bytes
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    # Type EXEC, machine 62, one program header and no section. Source: elf(5).
    elf = identity + struct.pack(
        "<HHIQQQIHHHHHH",
        *(2, 62, 1, entry, header_bytes, 0, 0, header_bytes, program_bytes, 1, 0, 0, 0),
    )
    # PT_LOAD, readable and executable.
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000)
    return elf + program + code


def write_sandbox_image(archive: Path) -> None:
    """Write the sandbox's image: the sleeper and nothing else."""
    settings = ImageSettings(name=SANDBOX_IMAGE, entrypoint=("/pause",))
    write_image(archive, settings, [ImageFile(path=PurePosixPath("/pause"), content=sleeper())])


def write_image(archive: Path, settings: ImageSettings, files: Iterable[ImageFile]) -> None:
    """Write a docker-archive with one layer; folders above the files are made by the runtime."""
    layer = archive.with_suffix(".layer")
    try:
        with tarfile.open(layer, "w") as tar:
            for entry in sorted(files, key=lambda file: file.path):
                _add(tar, entry)
        layer_digest = _sha256(layer)
        config = json.dumps(_config(settings, layer_digest), sort_keys=True).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [
            {"Config": config_name, "RepoTags": [settings.name], "Layers": ["layer.tar"]},
        ]
        with tarfile.open(archive, "w") as tar:
            _add_bytes(tar, config_name, config, mode=0o644)
            tar.add(layer, "layer.tar", filter=_anonymous)
            _add_bytes(tar, "manifest.json", json.dumps(manifest).encode(), mode=0o644)
    finally:
        layer.unlink(missing_ok=True)


def _config(settings: ImageSettings, layer_digest: str) -> dict[str, object]:
    return {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {
            "Entrypoint": list(settings.entrypoint),
            "Env": [f"{name}={value}" for name, value in sorted(settings.environment.items())],
            "User": settings.user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }


def _add(tar: tarfile.TarFile, entry: ImageFile) -> None:
    name = str(entry.path).lstrip("/")
    if isinstance(entry.content, Path):
        tar.add(entry.content, name, recursive=False, filter=_anonymous)
    else:
        _add_bytes(tar, name, entry.content, mode=entry.mode)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop who owned a file and when it was written: neither belongs to the image."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
