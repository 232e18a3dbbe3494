"""
Offer the catalog and the weights to a shell and to the image build.

The one place of this package that reads the environment: HF_ENDPOINT and HF_TOKEN, as
huggingface_hub names them. Exit codes: 0; 1 with one sentence on stderr; 2 for a wrong call.
"""

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

import yaml

from model_presets.catalog import Catalog, UnknownPreset, load_catalog
from model_presets.convert import convert
from model_presets.download import DownloadFailed, copy_folder, download
from model_presets.lock import WrongWeights, make_lock, read_lock, verify, write_lock
from model_presets.preset import InvalidPreset, Preset
from model_presets.tiny import make_tiny


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m model_presets", description="Presets, and the weights that they pin."
    )
    parser.add_argument(
        "--extra", type=Path, metavar="DIR", help="folder with more presets, as *.yaml"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="one line per preset")
    show = commands.add_parser("show", help="all that the catalog says of one preset, as YAML")
    show.add_argument("preset")
    tiny = commands.add_parser("make-tiny", help="make the weights of a tiny model from a seed")
    tiny.add_argument("directory", type=Path)
    tiny.add_argument(
        "--preset", default="tiny-mistral", choices=("tiny-mistral", "tiny-mixtral"), dest="name"
    )
    tiny.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (0)")
    fetch = commands.add_parser(
        "download", help="fetch the weights at the pinned revision, or make them from their seed"
    )
    fetch.add_argument("preset")
    fetch.add_argument("directory", type=Path)
    fetch.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="take them from this folder: a hub's cache, or the files themselves",
    )
    for name, purpose in (
        ("lock", "convert pickled shards where there are any, then write the lock file"),
        ("verify", "compare every byte with the lock file"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("preset")
        command.add_argument("directory", type=Path)
    return parser


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parsed = build_parser().parse_args(arguments)
    try:
        run(parsed, load_catalog(parsed.extra))
    except (UnknownPreset, InvalidPreset, DownloadFailed, WrongWeights, OSError) as error:
        print(f"model_presets: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    return 0


def run(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Do what one command asks for."""
    match parsed.command:
        case "list":
            for preset in catalog:
                say(one_line(preset))
        case "show":
            content = asdict(catalog.get(parsed.preset))
            content["aliases"] = list(content["aliases"])
            say(yaml.safe_dump(content, sort_keys=False, width=100).rstrip())
        case "make-tiny":
            make_tiny(parsed.directory, parsed.seed, name=parsed.name)
        case "download":
            fetch(catalog.get(parsed.preset), parsed.directory, parsed.source)
        case "lock":
            lock(catalog.get(parsed.preset), parsed.directory)
        case "verify":
            known = read_lock(parsed.directory)
            verify(parsed.directory, known, catalog.get(parsed.preset))
            say(f"{len(known.files)} files, {known.total_bytes} bytes: {known.digest}")
        case unknown:
            raise AssertionError(f"{unknown}: a command without a case")


def fetch(preset: Preset, directory: Path, source: Path | None) -> None:
    """Bring the weights from where they are: a folder, a seed or the hub."""
    if source is not None:
        copy_folder(preset, source, directory)
    elif preset.seed is not None:
        make_tiny(directory, preset.seed, name=preset.name)
    else:
        download(
            preset,
            directory,
            endpoint=os.environ.get("HF_ENDPOINT"),  # noqa: TID251 - this is a __main__
            token=os.environ.get("HF_TOKEN"),  # noqa: TID251 - the same
            report=say,
        )


def lock(preset: Preset, directory: Path) -> None:
    """Convert what is pickled, then write the lock."""
    converted = convert(directory)
    for file in converted:
        say(f"converted {file.path}, {file.size} bytes")
    written = make_lock(directory, preset, converted)
    write_lock(directory, written)
    say(f"locked {len(written.files)} files, {written.total_bytes} bytes: {written.digest}")


def one_line(preset: Preset) -> str:
    """Say of a preset what one chooses by."""
    gpus = f"{preset.gpu_count} GPU, {preset.gpu_memory_gib} GiB" if preset.gpu_count else "CPU"
    return f"{preset.name:<24} {preset.parameters / 1e9:>7.3f} B  {gpus:<14} {preset.repo}"


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(line, flush=True)  # noqa: T201 - a command speaks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
