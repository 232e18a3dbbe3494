"""
Make the registry's torch run on a CPU without the gigabytes of CUDA that it never calls there.

The wheel of torch for Linux links its CUDA half against a dozen NVIDIA libraries (3 GB, and 1 GB
of Triton): the loader wants all of them before `import torch` returns, and a CPU run then calls
none. So the image build for a CPU (`TORCH_BUILD=cpu` in Dockerfile.mistral) installs the lock
without them, and puts a stand-in beside torch for each that the loader misses: a shared library of
that name with the symbols that torch wants of it. Whoever calls one ends the process with a
sentence that says why. The CUDA runtime stays real: torch registers its kernels with it while
loading, and asks it for devices, of which it then finds none.

The invariant: torch's own files and the versions in the lock are untouched. Needs `as`, `ld` and
`readelf` of binutils while the image is built, on x86-64. Imports the standard library only.

    python cpu_torch.py lock inference.lock > cpu.lock
    python cpu_torch.py stubs /opt/venv/lib/python3.11/site-packages
"""

import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LEFT_OUT = re.compile(r"(nvidia-(?!cuda-runtime)|cuda-|triton)")
CUDA_LIBRARY = re.compile(
    r"lib(cu(?!da\.)|nv|nccl)"
)  # not the driver: where it is, it is the node's
NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
UNDEFINED = re.compile(
    r" UND ((?:cublas|cudnn|cufft|cusolver|cusparse|cuFile|cupti|nccl|nvrtc|nvshmem)\w*)(?:@(\S+))?"
)

# write(2, message), then exit_group(70): the server's exit code for an engine that died.
BODY = """
    mov $1, %eax
    mov $2, %edi
    lea message(%rip), %rsi
    mov $message_end - message, %edx
    syscall
    mov $231, %eax
    mov $70, %edi
    syscall
.section .rodata
message: .ascii "CUDA was left out of this image (TORCH_BUILD=cpu), and something called it\\n"
message_end:
.section .note.GNU-stack,"",@progbits
"""


def trimmed(lock: str) -> str:
    """Return a lock file without the entries that a CPU run never loads."""
    kept = []
    skipping = False
    for line in lock.splitlines(keepends=True):
        if not line.startswith((" ", "\n")):
            skipping = LEFT_OUT.match(line) is not None
        if not skipping:
            kept.append(line)
    return "".join(kept)


def write_stubs(site_packages: Path) -> list[str]:
    """
    Write one stand-in beside torch's libraries, under the name of each that is not installed.

    Returns:
        The names, sorted.
    """
    if platform.machine() != "x86_64":
        raise SystemExit(
            f"TORCH_BUILD=cpu: {platform.machine()}: x86_64 only; use TORCH_BUILD=cuda"
        )
    folder = site_packages / "torch" / "lib"
    torchs = sorted(folder.glob("lib*.so*"))
    present = {path.name for path in site_packages.rglob("lib*.so*")}
    needed = {name for path in torchs for name in _found(NEEDED, "--dynamic", path)}
    missing = sorted(name for name in needed - present if CUDA_LIBRARY.match(name))
    symbols = {found for path in torchs for found in _found(UNDEFINED, "--dyn-syms", path)}
    if missing:
        first, *others = missing
        _assemble(dict(sorted(symbols)), folder / first)
        for name in others:
            (folder / name).symlink_to(first)
    return missing


def _found(pattern: re.Pattern[str], table: str, library: Path) -> set[Any]:
    """Return what a pattern finds in one of a library's tables."""
    command = ["readelf", "--wide", table, str(library)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed words
    return set(pattern.findall(listing.stdout))


def _assemble(symbols: dict[str, str], library: Path) -> None:
    """
    Make a shared library in which every symbol leads to the same sentence and exit.

    Args:
        symbols: The version that torch wants of each symbol, empty for none: the loader insists.
        library: Where to write.
    """
    names = "".join(f".globl {name}\n.type {name}, @function\n{name}:\n" for name in symbols)
    versions = "".join(
        f"{version} {{ {' '.join(f'{name};' for name in symbols if symbols[name] == version)} }};\n"
        for version in sorted({version for version in symbols.values() if version})
    )
    with tempfile.TemporaryDirectory() as scratch:
        source, parts, script = (Path(scratch) / name for name in ("stub.s", "stub.o", "versions"))
        source.write_text(f".text\n{names}{BODY}", encoding="utf-8")
        script.write_text(versions, encoding="utf-8")
        linked = [f"--version-script={script}"] if versions else []
        for command in (
            ["as", "--64", "-o", str(parts), str(source)],
            ["ld", "-shared", *linked, "-o", str(library), str(parts)],
        ):
            subprocess.run(command, check=True)  # noqa: S603 - fixed words


def main(command: str, path: Path) -> None:
    """Run one of the two steps of the image build."""
    match command:
        case "lock":
            sys.stdout.write(trimmed(path.read_text(encoding="utf-8")))
        case "stubs":
            sys.stdout.write(f"stand-ins: {' '.join(write_stubs(path)) or 'none needed'}\n")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
