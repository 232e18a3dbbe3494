"""A folder that is no adapter of this base is refused before torch is imported, in one sentence."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from model_server.adapter_choice import AdapterChoice
from model_server.compute.adapter_config import BadAdapter
from model_server.compute.adapter_files import AdapterCheckpoint, ServedBase, read_adapters
from model_server.compute.checkpoint import Checkpoint, read_checkpoint

from tests.model_server.adapter_headers import write_tensors

Shapes = dict[str, tuple[int, ...]]
LAYER = "model.layers.0.self_attn"
BASE: Shapes = {
    "model.embed_tokens.weight": (20, 8),
    f"{LAYER}.q_proj.weight": (8, 8),
    f"{LAYER}.k_proj.weight": (4, 8),
    "lm_head.weight": (20, 8),
}
TENSORS: Shapes = {
    f"base_model.model.{LAYER}.q_proj.lora_A.weight": (2, 8),
    f"base_model.model.{LAYER}.q_proj.lora_B.weight": (8, 2),
    f"base_model.model.{LAYER}.k_proj.lora_A.weight": (2, 8),
    f"base_model.model.{LAYER}.k_proj.lora_B.weight": (4, 2),
}
CONFIG: dict[str, object] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": "all-linear",
    "base_model_name_or_path": "org/base",
    "revision": "a" * 40,
}
SERVED = ServedBase(names=("base", "org/Base"), revision="a" * 40)


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    write_tensors(folder / "model.safetensors", BASE)
    return read_checkpoint(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "style"
    folder.mkdir()
    write_config(folder)
    write_tensors(folder / "adapter_model.safetensors", TENSORS)
    return folder


def write_config(folder: Path, **changes: object) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **changes}))


def tensors(**changes: tuple[int, ...] | None) -> Callable[[Path], None]:
    """Change the shapes of tensors, by the end of their names, `__` for dots; None leaves out."""
    ends = {name.replace("__", "."): shape for name, shape in changes.items()}

    def change(folder: Path) -> None:
        shapes = dict(TENSORS)
        for end, shape in ends.items():
            name = f"base_model.model.{LAYER}.{end}.weight"
            if shape is None:
                del shapes[name]
            else:
                shapes[name] = shape
        write_tensors(folder / "adapter_model.safetensors", shapes)

    return change


def read(folder: Path, base: Checkpoint, served: ServedBase = SERVED) -> AdapterCheckpoint:
    choice = AdapterChoice(name="style", directory=folder, strength=0.5)
    (adapter,) = read_adapters([choice], base, served)
    return adapter


def test_an_adapter_says_what_it_changes_and_how_large_it_is(
    folder: Path, base: Checkpoint
) -> None:
    adapter = read(folder, base)
    assert adapter.modules == (f"{LAYER}.k_proj", f"{LAYER}.q_proj")
    assert adapter.total_bytes == 4 * (16 + 16 + 16 + 8)
    assert adapter.scale_of(f"{LAYER}.q_proj") == 1.0  # 4 / 2, halved


def test_the_digest_is_what_a_shell_makes(folder: Path, base: Checkpoint) -> None:
    line = "sha256sum adapter_config.json adapter_model.safetensors | sha256sum"
    said = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, check=True)  # noqa: S603, S607 - as documented
    digest = read(folder, base).digest()
    assert digest == f"sha256:{said.stdout.split()[0].decode()}"
    write_config(folder, lora_alpha=5)
    assert read(folder, base).digest() != digest


def link_out(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.rename(folder.parent / "elsewhere.safetensors")
    path.symlink_to("../elsewhere.safetensors")


def only_pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: f.rename(f.parent / "moved"), "is not a folder"),
        (lambda f: (f / "adapter_config.json").unlink(), "adapter_config.json is missing"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "adapter_config.json").write_text("[" * 90_000), "is not JSON"),
        (lambda f: (f / "adapter_config.json").write_text(" " * 1_000_001), "is longer than"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "safetensors is missing"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x"), "no whole header"),
        (only_pickle, "pickle only"),
        (link_out, "a link out of its folder"),
        (lambda f: write_config(f, use_dora=True), "use_dora is True"),
        (lambda f: write_config(f, target_modules=["q_proj"]), "has the tensor .*k_proj.lora_A"),
        (lambda f: write_config(f, target_modules=["w1"]), "'w1': of this base, k_proj, q_proj"),
        (lambda f: write_config(f, target_modules=["lm_head"]), "'lm_head': of this base"),
        (lambda f: write_config(f, r=3), r"in the shape \[2, 8\], the base and r want \[3, 8\]"),
        (tensors(q_proj__lora_B=None), "lacks the tensor .*q_proj.lora_B"),
        (tensors(q_proj__lora_magnitude=(8,)), "has the tensor .*lora_magnitude"),
        (tensors(k_proj__lora_B=(8, 2)), r"k_proj.lora_B.weight in the shape \[8, 2\]"),
        (
            lambda f: write_tensors(f / "adapter_model.safetensors", TENSORS, dtype="I32"),
            "lora_A.weight as I32: save the adapter as one of F32, F16, BF16",
        ),
        (lambda f: write_config(f, base_model_name_or_path="org/other"), "this server runs base"),
        (lambda f: write_config(f, revision="b" * 40), f"revision is '{'b' * 40}': .* {'a' * 40}"),
        (lambda f: write_config(f, revision="main"), "revision is 'main'"),
    ],
)
def test_what_is_no_adapter_of_this_base_is_refused(
    folder: Path, base: Checkpoint, damage: Callable[[Path], object], says: str
) -> None:
    damage(folder)
    with pytest.raises(BadAdapter, match=f"(?s)^--adapter style: .*{says}"):
        read(folder, base)


@pytest.mark.parametrize("name", ["/weights", "./weights", None, "ORG/base", "Base"])
def test_a_base_of_any_of_its_names_fits_and_a_path_says_nothing(
    folder: Path, base: Checkpoint, name: str | None
) -> None:
    write_config(folder, base_model_name_or_path=name)
    assert read(folder, base).name == "style"


def test_where_the_base_is_unknown_the_shapes_have_to_do(folder: Path, base: Checkpoint) -> None:
    write_config(folder, base_model_name_or_path="org/other", revision="b" * 40)
    assert read(folder, base, ServedBase()).name == "style"


def test_a_link_inside_the_folder_is_how_kubernetes_mounts_volumes(
    folder: Path, base: Checkpoint
) -> None:
    (folder / "..data").mkdir()
    path = folder / "adapter_model.safetensors"
    path.rename(folder / "..data" / path.name)
    path.symlink_to(f"..data/{path.name}")
    assert read(folder, base).digest().startswith("sha256:")
