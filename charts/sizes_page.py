"""
Write docs/sizes.md: what each full-size preset weighs, takes and costs in minutes, by arithmetic.

`make generate` runs `python charts/sizes_page.py docs/sizes.md`; a test checks that it changes
nothing. The figures come from the code that plans with them, so the page cannot say otherwise; the
parameters are held against transformers' own modules by tests/model_presets/test_architecture.py.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from model_presets.catalog import load_catalog
from model_presets.preset import Preset
from model_presets.tuning_config import Method
from workspace_operator.instance_types import GIB
from workspace_operator.memory_fit import fitting_types, needed_bytes, required_tokens
from workspace_operator.settings import Cloud
from workspace_operator.tuning_fit import Recipe, tuning_bytes

# Source: docs/images.md, the table of what an image has beside the weights; tested equal.
SERVER_IMAGE_GB = 6.1
# Files of weights at the hub. Sources: public model.safetensors.index.json of the revisions and
# tables of pins that name the shards, as far as there are any (docs/presets.md).
SHARDS = {"mistral-7b": 2, "mistral-7b-instruct-v0.2": 3, "mixtral-8x7b": 19}
LINES_GBIT = (1, 10)
DISKS_GB = (0.2, 1.0, 5.0)
CONTEXTS = (4096, 32768)
LONGEST_EXAMPLES = (2048, 8192, 32768)
METHODS: tuple[Method, ...] = ("lora", "qlora")

HEAD = """\
<!-- Written by `make generate` from charts/sizes_page.py and the operator's own arithmetic -->

# Sizes and times of the full-size presets

Arithmetic, not measurements: no model of this size was run for this page. GB and Gbit are powers of
ten, GiB of two. The parameters are those of transformers' modules, which a test builds on the
`meta` device; the rest follows by the formula above each table.
"""


def full_size() -> list[Preset]:
    """Return the presets that are downloaded."""
    return [preset for preset in load_catalog() if preset.seed is None]


def weights() -> Iterable[str]:
    """Say what there is to carry."""
    yield (
        "Weights: parameters x bytes of the type. The files at the hub have headers on top, less "
        "than 0.01 %. Image: the server's layers "
        f"([images.md](images.md), {SERVER_IMAGE_GB} GB) and the weights; the disk is what a node "
        "is asked for. A dash: no public source was found.\n"
    )
    yield from table(
        ("preset", "parameters", "bytes of weights", "GiB", "files at the hub", "image", "disk"),
        (
            (
                f"`{each.name}`",
                f"{each.parameters:,}",
                f"{each.weight_bytes:,}",
                f"{each.weight_bytes / GIB:.2f}",
                str(SHARDS.get(each.name, "-")),
                f"{image_bytes(each) / 1e9:.1f} GB",
                f"{each.disk_gib} GiB",
            )
            for each in full_size()
        ),
    )


def times() -> Iterable[str]:
    """Say how long that takes, at rates that a reader can find out about a cluster."""
    yield (
        "Bytes by rate. Download: the weights from the hub. Pull: the image from a registry, "
        "without unpacking. Read: the weights from the node's disk; 0.2 GB/s is a network disk, "
        "1 GB/s a good one, 5 GB/s a local NVMe, or the page cache.\n"
    )
    heads = (
        "preset",
        *(f"download at {rate} Gbit/s" for rate in LINES_GBIT),
        *(f"pull at {rate} Gbit/s" for rate in LINES_GBIT),
        *(f"read at {rate:g} GB/s" for rate in DISKS_GB),
    )
    yield from table(
        heads,
        (
            (
                f"`{each.name}`",
                *(minutes(each.weight_bytes * 8 / rate / 1e9) for rate in LINES_GBIT),
                *(minutes(image_bytes(each) * 8 / rate / 1e9) for rate in LINES_GBIT),
                *(minutes(each.weight_bytes / rate / 1e9) for rate in DISKS_GB),
            )
            for each in full_size()
        ),
    )


def serving() -> Iterable[str]:
    """Say what one request of a length needs."""
    yield (
        "`operator/workspace_operator/memory_fit.py`: weights + 1 GiB per GPU for the runtime + "
        "keys and values of one request, of which a sliding window keeps its own length. A dash: "
        "longer than the model was trained for. Machines: the smallest of each cloud that hold "
        "the shortest context.\n"
    )
    heads = (
        "preset",
        "keys and values of a token",
        *(f"one request of {context:,}" for context in CONTEXTS),
        *(f"{cloud}" for cloud in CLOUDS),
    )
    yield from table(
        heads,
        (
            (
                f"`{each.name}`",
                f"{each.kv_bytes_per_token:,} B",
                *(memory(each, context) for context in CONTEXTS),
                *(machine(each, cloud) for cloud in CLOUDS),
            )
            for each in full_size()
        ),
    )


def tuning() -> Iterable[str]:
    """Say what a training needs."""
    yield (
        "`operator/workspace_operator/tuning_fit.py`, where each term has its source: frozen "
        "weights, adapters of rank 8 for queries and values with their moments, activations of "
        "one example of that many tokens, 1 GiB for the runtime. On one GPU.\n"
    )
    tunable = [preset for preset in full_size() if preset.tunable]
    yield from table(
        ("preset", "method", *(f"{tokens:,} tokens" for tokens in LONGEST_EXAMPLES)),
        (
            (
                f"`{each.name}`",
                method,
                *(training_memory(each, method, tokens) for tokens in LONGEST_EXAMPLES),
            )
            for each in tunable
            for method in METHODS
        ),
    )


CLOUDS = (Cloud.AZURE, Cloud.AWS, Cloud.GCP)
SECTIONS = {
    "What there is to carry": weights,
    "How long that takes": times,
    "GPU memory to serve": serving,
    "GPU memory to tune": tuning,
}


def image_bytes(preset: Preset) -> float:
    """Return the size of a preset's image."""
    return SERVER_IMAGE_GB * 1e9 + preset.weight_bytes


def minutes(seconds: float) -> str:
    """Write a time as a person would."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - two minutes


def memory(preset: Preset, context: int) -> str:
    """Return what one request of a length needs, with everything else."""
    if context > preset.context_length:
        return "-"
    needed = needed_bytes(preset, preset.gpu_count, context) / GIB
    kept = required_tokens(preset, context) * preset.kv_bytes_per_token / GIB
    return f"{needed:.1f} GiB, {kept:.1f} of it keys and values"


def machine(preset: Preset, cloud: Cloud) -> str:
    """Return the smallest machine of a cloud that holds a preset."""
    return next((f"`{each.name}`" for each in fitting_types(preset, cloud)), "-")


def training_memory(preset: Preset, method: Method, tokens: int) -> str:
    """Return what a training needs."""
    if tokens > preset.context_length:
        return "-"
    return f"{tuning_bytes(preset, Recipe(method=method, tokens=tokens)) / GIB:.1f} GiB"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Write a table of Markdown, line by line."""
    for cells in (heads, ["---"] * len(heads), *rows):
        yield "| " + " | ".join(cells) + " |"


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for title, lines in SECTIONS.items():
        parts.append(f"\n## {title}\n\n" + "\n".join(lines()) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("page", type=Path, help="the page to write")
    parser.parse_args().page.write_text(page())
