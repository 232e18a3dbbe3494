"""
Bring image archives into a machine's containerd, and say how far it is.

Archives are docker- or OCI-archives, plain or compressed. They are fed to `ctr` by this process, so
that the bytes can be counted; containerd then unpacks the layers, which it cannot tell the progress
of. Images are in containerd's namespace k8s.io, where the kubelet's are.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import namespaces
from tests.cluster.machine import Machine

NAMESPACE = "k8s.io"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the import of one archive is; unpacking begins when all bytes are read."""

    archive: Path
    bytes_read: int
    bytes_total: int
    seconds: float


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


def import_image(machine: Machine, archive: Path, report: Report = silent) -> list[str]:
    """
    Import an archive and return the names of its images.

    Raises:
        RuntimeError: containerd refused it; the message has its words.
    """
    started, total, read = time.monotonic(), archive.stat().st_size, 0
    prefix = namespaces.in_machine(machine.holder)
    command = [*prefix, "ctr", "--namespace", NAMESPACE, "images", "import", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        try:
            with archive.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    process.stdin.write(chunk)
                    read += len(chunk)
                    seconds = time.monotonic() - started
                    report(
                        Progress(
                            archive=archive, bytes_read=read, bytes_total=total, seconds=seconds
                        )
                    )
            process.stdin.close()
        except BrokenPipeError:
            pass  # ctr ended early; its words say why
        output = process.stdout.read().decode(errors="replace") if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(f"{machine.name}: ctr images import {archive}: {output.strip()}")
    # "unpacking docker.io/library/x:1 (sha256:...)...done". Source: ctr's images import.
    return [line.split()[1] for line in output.splitlines() if line.startswith("unpacking ")]
