"""
Say what each image is built from, so that an image that has not changed is not built again.

A recipe names a Dockerfile, its arguments and the folders that it copies. Its fingerprint is a hash
over all of them: the same fingerprint means the same image, and one changed byte another.
"""

import hashlib
import platform
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    Describe one image.

    Attributes:
        name: How a person asks for it.
        dockerfile: Path below the repository's root.
        inputs: Files and folders that the Dockerfile copies, below the root.
        arguments: Build arguments, beside VERSION.
        target: Stage of the Dockerfile; empty for its last.
    """

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""

    @property
    def reference(self) -> str:
        """Return the name under which the chart and the operator ask for the image."""
        return f"docker.io/atelier/{self.name}:{VERSION}"

    @property
    def base_image(self) -> str:
        """Return the base that the Dockerfile names as its default."""
        text = (ROOT / self.dockerfile).read_text(encoding="utf-8")
        found = re.search(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.dockerfile}: no `ARG BASE_IMAGE=...`; name a default base")
        return found[1]

    def fingerprint(self, builder: str) -> str:
        """
        Hash all that decides what the image becomes.

        Args:
            builder: What builds it, on which base: another one gives another image.
        """
        hashed = hashlib.sha256()
        arguments = sorted(map(repr, self.arguments.items()))
        words = (builder, platform.machine(), VERSION, self.target, *arguments)
        for word in words:
            hashed.update(f"{word}\0".encode())
        for path in self._files():
            name = path.relative_to(ROOT)
            hashed.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0".encode())
            hashed.update(hashlib.sha256(path.read_bytes()).digest())
        return hashed.hexdigest()[:16]

    def _files(self) -> Iterator[Path]:
        for name in sorted({self.dockerfile, ".dockerignore", *self.inputs}):
            path = ROOT / name
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and file.suffix != ".pyc":
                    yield file


# Of the stages that serving and training share.
_MODEL_INPUTS = (
    "presets/model_presets",
    "requirements/bytecode.py",
    "requirements/cpu_torch.py",
    "requirements/inference.lock",
    "requirements/sbom.py",
    "requirements/uv.lock",
)
_TINY = {"PRESET": "tiny-mistral", "TORCH_BUILD": "cpu"}
# What production runs, but for the weights: TORCH_BUILD has the Dockerfile's default.
_PRODUCTION = {"PRESET": "tiny-mistral"}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="operator",
            dockerfile="Dockerfile.operator",
            inputs=(
                "operator/workspace_operator",
                "presets/model_presets",
                "requirements/bytecode.py",
                "requirements/operator.lock",
                "requirements/sbom.py",
                "requirements/uv.lock",
            ),
        ),
        Recipe(
            name="tiny-mistral",
            dockerfile="Dockerfile.mistral",
            inputs=("inference/model_server", *_MODEL_INPUTS),
            arguments=_TINY,
        ),
        Recipe(
            name="model-server",
            dockerfile="Dockerfile.mistral",
            inputs=("inference/model_server", *_MODEL_INPUTS),
            arguments=_TINY | {"PRESET": "none"},  # weights come from elsewhere (docs/weights.md)
        ),
        Recipe(
            name="tiny-mistral-tuning",
            dockerfile="Dockerfile.mistral",
            inputs=("inference/model_tuning", "requirements/tuning.lock", *_MODEL_INPUTS),
            arguments=_TINY,
            target="tuning",
        ),
        Recipe(
            name="tiny-mistral-cuda",
            dockerfile="Dockerfile.mistral",
            inputs=("inference/model_server", *_MODEL_INPUTS),
            arguments=_PRODUCTION,
        ),
        Recipe(
            name="tiny-mistral-cuda-tuning",
            dockerfile="Dockerfile.mistral",
            inputs=("inference/model_tuning", "requirements/tuning.lock", *_MODEL_INPUTS),
            arguments=_PRODUCTION,
            target="tuning",
        ),
    )
}
