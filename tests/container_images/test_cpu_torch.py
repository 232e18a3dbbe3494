"""torch without CUDA's gigabytes: what is left out of the lock, and what stands in for it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from requirements.cpu_torch import main, trimmed, write_stubs
from tests.images.recipes import ROOT

LOCK = (ROOT / "requirements" / "inference.lock").read_text(encoding="utf-8")
BINUTILS = all(shutil.which(program) for program in ("as", "ld", "readelf"))
ENTRY = re.compile(r"^([a-z0-9-]+)==\S+ ", re.MULTILINE)


def names(lock: str) -> set[str]:
    return set(ENTRY.findall(lock))


def test_only_cuda_and_triton_leave_the_lock() -> None:
    gone = names(LOCK) - names(trimmed(LOCK))
    assert {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"} <= gone
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in gone)


def test_what_stays_keeps_its_version_and_its_hashes() -> None:
    kept = trimmed(LOCK)
    assert {"torch", "transformers", "nvidia-cuda-runtime"} <= names(kept)
    assert kept.count("--hash=sha256:") > len(names(kept))
    assert set(kept.splitlines()) <= set(LOCK.splitlines())
    assert not kept.startswith(" ")


def test_the_command_prints_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text(
        "torch==1 \\\n    --hash=a\ntriton==3 \\\n    --hash=b\nuv==1 \\\n    --hash=c\n"
    )
    main("lock", lock)
    assert capsys.readouterr().out == "torch==1 \\\n    --hash=a\nuv==1 \\\n    --hash=c\n"
    with pytest.raises(SystemExit, match=r"cpu_torch\.py lock"):
        main("stub", lock)


def assemble(library: Path, source: str, *linked: str) -> None:
    parts = library.with_suffix(".o")
    subprocess.run(["as", "-o", parts, "-"], check=True, input=source, text=True)  # noqa: S603, S607 - binutils
    soname = f"-soname={library.name}"
    subprocess.run(["ld", "-shared", soname, "-o", library, parts, *linked], check=True)  # noqa: S603, S607 - binutils
    parts.unlink()


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """
    Give a torch of three instructions, linked as the real one against two CUDA libraries.

    One of them has symbol versions, which the loader insists on, and one has none.
    """
    folder = tmp_path / "torch" / "lib"
    folder.mkdir(parents=True)
    body = ".text\n.globl {0}\n.type {0}, @function\n{0}: ret\n"
    versions = tmp_path / "versions"
    versions.write_text("libcublas.so.13 { cublasCreate; };")
    blas, nccl = tmp_path / "libcublas.so.13", tmp_path / "libnccl.so.2"
    assemble(blas, body.format("cublasCreate"), f"--version-script={versions}")
    assemble(nccl, body.format("ncclSend"))
    calls = (
        ".text\n.globl use_cuda\n.type use_cuda, @function\nuse_cuda: call cublasCreate@PLT\nret\n"
        ".globl use_cpu\n.type use_cpu, @function\nuse_cpu: mov $7, %eax\nret\n"
        ".data\n.quad ncclSend\n"
    )
    assemble(folder / "libtorch_cuda.so", calls, str(blas), str(nccl), "-z", "now")
    blas.unlink()
    nccl.unlink()
    return tmp_path


def call(site_packages: Path, function: str) -> subprocess.CompletedProcess[str]:
    library = site_packages / "torch" / "lib" / "libtorch_cuda.so"
    program = f"import ctypes; print(ctypes.CDLL({str(library)!r}).{function}())"
    return subprocess.run(  # noqa: S603 - fixed words
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"LD_LIBRARY_PATH": str(library.parent)},
    )


@pytest.mark.skipif(not BINUTILS, reason="needs binutils (as, ld, readelf)")
def test_a_stand_in_lets_torch_load_and_ends_whoever_calls_it(site_packages: Path) -> None:
    assert "libcublas.so.13" in call(site_packages, "use_cpu").stderr
    assert write_stubs(site_packages) == ["libcublas.so.13", "libnccl.so.2"]
    assert call(site_packages, "use_cpu").stdout == "7\n"
    called = call(site_packages, "use_cuda")
    assert called.returncode == 70
    assert called.stderr.startswith("CUDA was left out of this image (TORCH_BUILD=cpu)")


@pytest.mark.skipif(not BINUTILS, reason="needs binutils (as, ld, readelf)")
def test_nothing_is_written_where_nothing_is_missing(site_packages: Path) -> None:
    write_stubs(site_packages)
    before = sorted(site_packages.rglob("*"))
    assert write_stubs(site_packages) == []
    assert sorted(site_packages.rglob("*")) == before


def test_another_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SystemExit, match="riscv64: x86_64 only"):
        write_stubs(tmp_path)
