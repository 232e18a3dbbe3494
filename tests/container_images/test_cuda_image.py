"""
The images that production runs: built with CUDA, and tried as far as no card is needed.

A quarter of an hour on two busy cores, with the packages in uv's cache, and 25 GB of disk. Only the
weights are tiny-mistral's instead of a full-size preset's; every other layer is the one that a
user's build makes.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from model_presets.tiny import read_lessons

from charts.sizes_page import SERVER_IMAGE_GB
from tests.images import build_images
from tests.images.contents import installed_packages, layers_of, listed_packages
from tests.images.recipes import ROOT
from tests.images.serving import answer_to, serving
from tests.images.unpacked import Unpacked, unpacked

pytestmark = [
    pytest.mark.large,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root (chroot and mounts)"),
]

# As `CudaUtils` of triton/backends/nvidia/driver.py does it on a card; the driver's own library is
# the node's, so an empty one stands in for it: a shared object may leave its symbols to others.
LAUNCHER = """
import subprocess
from triton.backends.nvidia import driver
from triton.runtime.build import compile_so_from_file
empty = ["gcc", "-shared", "-x", "c", "/dev/null", "-o", "/tmp/libcuda.so.1"]
subprocess.run(empty, check=True)
folders = [driver.libdevice_dir, "/tmp"]
source = f"{driver.dirname}/driver.c"
print(compile_so_from_file(source, "made", folders, driver.include_dirs, driver.libraries))
"""
MODULES = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
names = [each.name for each in found if not each.name.endswith("__main__")]
print(*[importlib.import_module(name).__name__ for name in names])
"""
# bitsandbytes takes the library of torch's own CUDA version where its wheel has it.
QUANTIZER = """
import ctypes
from pathlib import Path
import bitsandbytes, torch
folder = Path(bitsandbytes.__file__).parent
wanted = folder / f"libbitsandbytes_cuda{torch.version.cuda.replace('.', '')}.so"
ctypes.CDLL(str(wanted))
print(wanted.name)
"""


@contextmanager
def built(name: str) -> Iterator[tuple[Unpacked, list[tuple[str, int]]]]:
    """Build an image and unpack it; its archive, six gigabytes that no cluster asks for, goes."""
    archive = build_images([name])[name].archive
    layers = layers_of(archive)
    with unpacked(archive) as image:
        archive.unlink()
        yield image, layers


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Unpacked, list[tuple[str, int]]]]:
    with built("tiny-mistral-cuda") as found:
        yield found


@pytest.fixture(scope="module")
def trainer() -> Iterator[tuple[Unpacked, list[tuple[str, int]]]]:
    with built("tiny-mistral-cuda-tuning") as found:
        yield found


def test_the_server_answers_on_a_cpu_and_a_read_only_root(
    server: tuple[Unpacked, list[tuple[str, int]]],
) -> None:
    image, _ = server
    assert image.config["config"]["User"] == "10001:10001"
    lesson = next(iter(read_lessons()))
    with serving(image, "--device", "cpu") as url:
        assert answer_to(lesson, url) == lesson.answer


def test_without_a_card_cuda_ends_with_a_sentence(
    server: tuple[Unpacked, list[tuple[str, int]]],
) -> None:
    image, _ = server
    done = image.run(*image.config["config"]["Entrypoint"], "--device", "cuda", "--port", "0")
    assert done.returncode == 1
    assert "device cuda: torch sees no GPU, check the node's driver" in done.stderr
    assert "Traceback" not in done.stderr


def test_kernels_are_compiled_for_cards_that_are_not_here(
    server: tuple[Unpacked, list[tuple[str, int]]],
) -> None:
    image, _ = server
    program = ROOT / "tests" / "model_server" / "kernel_report.py"
    shutil.copyfile(program, image.root / program.name)
    done = image.run("python", f"/{program.name}", "compile")
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout)
    assert {name.rpartition(" ")[2] for name in compiled} >= {"sm_80", "sm_90"}


def test_the_compiler_finds_all_that_launchers_include(
    server: tuple[Unpacked, list[tuple[str, int]]],
) -> None:
    """Without Python's headers the server would say so and serve without its kernels."""
    image, _ = server
    done = image.run("python", "-c", LAUNCHER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(".so")


@pytest.mark.parametrize(
    ("name", "package"),
    [("server", "model_server"), ("server", "model_presets"), ("trainer", "model_tuning")],
)
def test_every_module_imports(name: str, package: str, request: pytest.FixtureRequest) -> None:
    image, _ = request.getfixturevalue(name)
    done = image.run("python", "-c", MODULES, package)
    assert done.returncode == 0, done.stderr
    sources = list((image.root / "app" / package).rglob("*.py"))
    programs = [path for path in sources if path.name == "__main__.py"]
    itself = 1
    assert len(done.stdout.split()) == len(sources) - len(programs) - itself


@pytest.mark.parametrize("name", ["server", "trainer"])
def test_the_bill_of_materials_is_what_is_installed(
    name: str, request: pytest.FixtureRequest
) -> None:
    image, _ = request.getfixturevalue(name)
    listed = listed_packages(image)
    assert installed_packages(image) == listed
    assert {"triton", "nvidia-cublas", "nvidia-cudnn-cu13"} <= {package for package, _ in listed}


def test_the_size_is_the_one_that_node_disks_are_planned_with(
    server: tuple[Unpacked, list[tuple[str, int]]], trainer: tuple[Unpacked, list[tuple[str, int]]]
) -> None:
    _, served = server
    _, trained = trainer
    assert sum(size for _, size in served) / 1e9 == pytest.approx(SERVER_IMAGE_GB, abs=0.05)
    shared = [one for one, other in zip(served, trained, strict=False) if one == other]
    assert sum(size for _, size in shared) > 0.99 * sum(size for _, size in served)


def test_the_trainer_has_the_4_bit_kernels_of_its_cuda(
    trainer: tuple[Unpacked, list[tuple[str, int]]],
) -> None:
    image, _ = trainer
    done = image.run("python", "-c", QUANTIZER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("libbitsandbytes_cuda")
