"""
Offer the catalog and the weights to a shell and to the image build.

The one place of this package that reads the environment: HF_ENDPOINT, HF_TOKEN and HF_TOKEN_PATH
(a file with the token, such as a mounted Secret), as huggingface_hub names them. Exit codes: 0; 1
with one sentence on stderr; 2 for a wrong call; 130 for Ctrl-C; `fetch-weights` has those of `ends`
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import yaml

from model_presets.catalog import Catalog, UnknownPreset, load_catalog
from model_presets.command_line import read_command
from model_presets.consolidated import convert_consolidated
from model_presets.convert import convert
from model_presets.download import copy_folder, download
from model_presets.ends import End
from model_presets.fetching import Progress, end_of, fetch_weights, telling
from model_presets.hub import DownloadFailed, lock_from_hub
from model_presets.lock import (
    WrongWeights,
    make_lock,
    read_lock,
    read_lock_file,
    require_folder,
    verify,
    write_lock,
)
from model_presets.preset import InvalidPreset, Preset
from model_presets.registry import RegistryFailed, pull_folder
from model_presets.tiny import make_tiny


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parsed = read_command(arguments)
    try:
        COMMANDS[parsed.command](parsed, load_catalog(parsed.extra))
    except FAILURES as error:
        print(f"model_presets: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        if parsed.command != FETCH_WEIGHTS:
            return End.FAILED
        if parsed.last_words.exists():
            parsed.last_words.write_text(str(error), encoding="utf-8")
        return end_of(error)
    return 0


def run_list(_parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Print one line per preset."""
    for preset in catalog:
        say(one_line(preset))


def run_show(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Print all that the catalog says of one preset."""
    content = asdict(catalog.get(parsed.preset))
    content["aliases"] = list(content["aliases"])
    say(yaml.safe_dump(content, sort_keys=False, width=100).rstrip())


def run_make_tiny(parsed: argparse.Namespace, _catalog: Catalog) -> None:
    """Make the weights of a tiny model."""
    make_tiny(parsed.directory, parsed.seed, name=parsed.name)
    where = f"--model {parsed.directory} --preset {parsed.name}"
    say(f"{parsed.name} is made; to serve it: python -m model_server {where}")


def run_download(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Bring the weights from wherever they are."""
    fetch(catalog.get(parsed.preset), parsed.directory, parsed.source, parsed.expected)


def run_lock(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Write a lock: of a folder, or of what a hub states."""
    (ask_for_lock if parsed.from_hub else lock)(catalog.get(parsed.preset), parsed.directory)


def run_convert(parsed: argparse.Namespace, _catalog: Catalog) -> None:
    """Turn a raw checkpoint into the hub's layout."""
    for name in convert_consolidated(parsed.source, parsed.directory):
        say(name)


def run_pull_image(parsed: argparse.Namespace, _catalog: Catalog) -> None:
    """Bring an adapter or training data out of a registry."""
    for name in pull_folder(
        parsed.image, parsed.directory, auth=parsed.auth, plain_http=parsed.plain_http
    ):
        say(name)


def run_fetch_weights(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Bring, convert and lock the weights, and answer meanwhile how far that is."""
    # Process 1 of a container has no default handler; what has arrived stays for the next run.
    signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
    progress = Progress()
    with telling(progress, parsed.port) as port:
        say(f"progress on port {port}")
        fetch_weights(
            catalog.get(parsed.preset),
            parsed.directory,
            endpoint=hub_endpoint(),
            token=hub_token(),
            progress=progress,
            report=say,
        )


def run_verify(parsed: argparse.Namespace, catalog: Catalog) -> None:
    """Compare every byte with the lock."""
    known = read_lock(parsed.directory)
    verify(parsed.directory, known, catalog.get(parsed.preset))
    say(f"{len(known.files)} files, {known.total_bytes} bytes: {known.digest}")


FETCH_WEIGHTS = "fetch-weights"
FAILURES = (
    UnknownPreset,
    InvalidPreset,
    DownloadFailed,
    WrongWeights,
    RegistryFailed,
    OSError,
)
COMMANDS: Mapping[str, Callable[[argparse.Namespace, Catalog], None]] = {
    "list": run_list,
    "show": run_show,
    "make-tiny": run_make_tiny,
    "download": run_download,
    "lock": run_lock,
    "convert": run_convert,
    "pull-image": run_pull_image,
    FETCH_WEIGHTS: run_fetch_weights,
    "verify": run_verify,
}


def fetch(preset: Preset, directory: Path, source: Path | None, expected: Path | None) -> None:
    """Bring the weights from where they are: a folder, a seed or the hub."""
    if source is not None:
        copy_folder(preset, source, directory)
    elif preset.seed is not None:
        make_tiny(directory, preset.seed, name=preset.name)
    else:
        download(
            preset,
            directory,
            endpoint=hub_endpoint(),
            token=hub_token(),
            expected=read_lock_file(expected) if expected else None,
            report=say,
        )


def hub_endpoint() -> str | None:
    """Return the hub's address: HF_ENDPOINT, or none for the public one."""
    url = os.environ.get("HF_ENDPOINT")  # noqa: TID251 - this is a __main__
    if url and not url.startswith(("http://", "https://")):
        raise DownloadFailed(f"HF_ENDPOINT is {url!r}; write https:// and the hub's name")
    return url


def hub_token() -> str | None:
    """Return who comes: HF_TOKEN, or what the file named by HF_TOKEN_PATH holds."""
    if path := os.environ.get("HF_TOKEN_PATH"):  # noqa: TID251 - this is a __main__
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise DownloadFailed(f"HF_TOKEN_PATH names a file with the token: {error}") from error
    return os.environ.get("HF_TOKEN")  # noqa: TID251 - the same


def ask_for_lock(preset: Preset, path: Path) -> None:
    """Write what a download must bring, as the hub states it."""
    if preset.seed is not None:
        raise DownloadFailed(f"{preset.name}: made from a seed; no hub knows it")
    known = lock_from_hub(
        preset,
        endpoint=hub_endpoint(),
        token=hub_token(),
        report=say,
    )
    path.write_text(known.text, encoding="utf-8")
    pickled = f", {len(known.converted_from)} pickled shards" if known.converted_from else ""
    say(f"{path}: {len(known.files)} files, {known.total_bytes} bytes{pickled}")


def lock(preset: Preset, directory: Path) -> None:
    """Convert what is pickled, then write the lock."""
    require_folder(directory)
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
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("model_presets: stopped; the same command goes on", file=sys.stderr)  # noqa: T201 - the same
        os._exit(130)  # Python itself would wait for the threads that wait for the hub
