"""
Run one fine-tuning, from the arguments of a Job's pod to an adapter that others can have.

    python -m model_tuning fetch --url https://... --output /mnt/data
    python -m model_tuning train --preset mistral-7b --data /mnt/data --output /mnt/results

The one place of this package that reads the environment. Exit codes: 0; 1 for what another try
would not mend (configuration, data, access), with one sentence on stderr and in the termination
log; 70 for everything else.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from model_presets.catalog import UnknownPreset, load_catalog
from model_presets.destination import InvalidDestination, read_destination
from model_presets.hub import DownloadFailed
from model_presets.lock import WrongWeights, read_lock, verify
from model_presets.preset import InvalidPreset, Preset
from model_presets.registry import RegistryFailed, push_folder
from model_presets.tuning_config import InvalidTraining, parse_training, read_method
from model_presets.upload import UploadFailed, UploadRefused, prepare, upload

from model_tuning.examples import InvalidData
from model_tuning.fetch import fetch_urls
from model_tuning.progress import Progress, sentence
from model_tuning.web import answering

logger = logging.getLogger("model_tuning")

USELESS_TO_REPEAT = (
    InvalidTraining,
    InvalidData,
    InvalidPreset,
    UnknownPreset,
    DownloadFailed,
    WrongWeights,
    RegistryFailed,
    InvalidDestination,
    UploadRefused,
)
EXIT_REFUSED = 1
EXIT_INTERNAL = 70
TERMINATION_LOG = Path("/dev/termination-log")
LONGEST_MESSAGE = 4096  # what a kubelet keeps of it
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
RESULT_FILES = (*ADAPTER_FILES, "fine_tuning_completed.txt")


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m model_tuning", description="Fine-tune a preset with LoRA or QLoRA."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="download training data, file by file")
    fetch.add_argument("--url", action="append", required=True, help="may be repeated")
    fetch.add_argument("--output", type=Path, required=True)
    train = commands.add_parser("train", help="train an adapter")
    train.add_argument("--preset", default=os.environ.get("ATELIER_PRESET"))  # noqa: TID251 - a __main__
    train.add_argument(
        "--model",
        type=Path,
        default=Path(os.environ.get("ATELIER_MODEL", "/models/weights")),  # noqa: TID251 - a __main__
        help="folder of the base model's weights (%(default)s)",
    )
    train.add_argument("--method", default="lora", help="lora or qlora (%(default)s)")
    train.add_argument("--config", type=Path, metavar="FILE", help="a training_config.yaml")
    train.add_argument("--data", type=Path, default=Path("/mnt/data"))
    train.add_argument("--output", type=Path, default=Path("/mnt/results"))
    train.add_argument("--push", metavar="IMAGE", help="push the adapter as this image")
    train.add_argument("--push-auth", type=Path, metavar="FILE", help="Docker's config.json")
    train.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    train.add_argument(
        "--upload", metavar="OWNER/NAME[@BRANCH]", help="upload the adapter to this repository"
    )
    train.add_argument("--upload-token", type=Path, metavar="FILE", help="the hub's token")
    train.add_argument(
        "--hub",
        metavar="URL",
        default=os.environ.get("HF_ENDPOINT"),  # noqa: TID251 - a __main__
        help="a hub that is not the public one",
    )
    train.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a pod's own address
    train.add_argument("--port", type=int, default=5000, help="of /status and /metrics")
    return parser


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parsed = build_parser().parse_args(arguments)
    if parsed.command == "fetch":
        return _guarded(lambda: fetch_urls(parsed.url, parsed.output), Progress())
    progress = Progress()
    if not parsed.preset:
        return _explain("--preset: name one, or set ATELIER_PRESET", progress, EXIT_REFUSED)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(answering(progress, parsed.host, parsed.port))
        except (OSError, OverflowError) as error:
            where = f"--host {parsed.host}, --port {parsed.port}"
            return _explain(f"{where}: cannot listen: {error}", progress, EXIT_REFUSED)
        return _guarded(lambda: run_training(parsed, progress), progress)


def run_training(parsed: argparse.Namespace, progress: Progress) -> None:
    """Check everything that can be checked without the weights, then train, then hand over."""
    preset = load_catalog().get(parsed.preset)
    if not preset.tunable:
        raise InvalidTraining("tuning.preset.name", preset.name, "this preset cannot be tuned")
    method = read_method(parsed.method)
    text = parsed.config.read_text(encoding="utf-8") if parsed.config else ""
    parse_training(text, method)  # before seconds of imports
    send = _uploader(parsed, preset)

    from model_tuning.data import prepare, read_rows  # noqa: PLC0415 - pyarrow, seconds
    from model_tuning.training import Task, known_keys, load_tokenizer, train  # noqa: PLC0415 - torch

    config = parse_training(text, method, known_keys())
    for note in config.notes:
        logger.warning(note)
    _verify(parsed.model, preset)
    progress.enter("preparing")
    task = Task(preset=preset, weights=parsed.model, config=config, output=parsed.output)
    tokenizer = load_tokenizer(task)
    with tempfile.TemporaryDirectory(prefix="data-cache-") as cache:
        columns, rows = read_rows(parsed.data, Path(cache))
        data = prepare(
            columns, rows, config.dataset, tokenizer, preset.chat_template, preset.context_length
        )
    logger.info("%d examples to learn, %d kept back", len(data.train), len(data.test))
    folder = train(task, data, tokenizer, progress)
    if parsed.push or parsed.upload:
        progress.enter("pushing")
    if parsed.push:
        _push(parsed, preset, folder)
    send(folder)
    progress.enter("succeeded")
    logger.info(sentence(progress.look()))
    _leave(json.dumps(asdict(progress.look())))  # for whoever looks when the pod has ended


def _push(parsed: argparse.Namespace, preset: Preset, folder: Path) -> None:
    """Push the adapter as an image."""
    digest = push_folder(
        folder,
        RESULT_FILES,
        parsed.push,
        auth=parsed.push_auth,
        plain_http=parsed.plain_http,
        annotations={
            "org.opencontainers.image.title": f"{preset.name}-adapter",
            "org.opencontainers.image.base.name": f"{preset.repo}@{preset.revision}",
            "sh.kaito.model.name": preset.name,
        },
    )
    logger.info("pushed %s as %s", parsed.push, digest)


def _uploader(parsed: argparse.Namespace, preset: Preset) -> Callable[[Path], None]:
    """See now that the hub takes what is learned, and return what sends it there later."""
    if not parsed.upload:
        return lambda _folder: None
    destination = read_destination(parsed.upload)
    try:
        token = (
            parsed.upload_token.read_text(encoding="utf-8").strip() if parsed.upload_token else ""
        )
    except OSError as error:
        raise UploadRefused(f"{destination}: the token's file: {error}") from error
    api = prepare(destination, endpoint=parsed.hub, token=token, report=logger.warning)

    def send(folder: Path) -> None:
        commit = upload(
            api,
            folder,
            ADAPTER_FILES,
            destination,
            message=f"Adapter of {preset.repo} at {preset.revision}",
            report=logger.warning,
        )
        logger.info("uploaded to %s, commit %s", destination, commit)

    return send


def _verify(weights: Path, preset: Preset) -> None:
    """Hold the weights against their lock; weights that were made from a seed may have none."""
    if not (weights / "config.json").is_file():
        raise WrongWeights(weights, "holds no config.json; give the folder of the weights")
    try:
        lock = read_lock(weights)
    except WrongWeights:
        if preset.seed is not None:
            return
        raise
    verify(weights, lock, preset)


def _guarded(action: Callable[[], None], progress: Progress) -> int:
    """Run to the end or to one sentence, which the pod's status then carries."""
    try:
        action()
    except USELESS_TO_REPEAT as error:
        return _explain(str(error), progress, EXIT_REFUSED)
    except UploadFailed as error:
        return _explain(str(error), progress, EXIT_INTERNAL)
    except Exception as error:
        logger.exception("failed")
        return _explain(f"{type(error).__name__}: {error}", progress, EXIT_INTERNAL)
    return 0


def _explain(message: str, progress: Progress, code: int) -> int:
    progress.enter("failed", error=message)
    print(f"model_tuning: {message}", file=sys.stderr)  # noqa: T201 - a command speaks
    _leave(message[:LONGEST_MESSAGE])
    return code


def _leave(text: str) -> None:
    """Leave last words for the pod's status; the kubelet makes the file, nobody else has one."""
    with contextlib.suppress(OSError):
        if TERMINATION_LOG.is_file():
            TERMINATION_LOG.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
