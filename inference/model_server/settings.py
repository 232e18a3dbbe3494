"""
Read the command line once, into values that need no second look.

The flags are the contract between operator and server (docs/architecture.md); docs/server.md lists
them. The environment gives two defaults, and only `__main__` reads it: here it is an argument.

Must not import torch, transformers, or anything that opens a socket.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "bfloat16", "float32")
ENGINES = ("native", "reference")
MAX_PORT = 65535

HOST = "0.0.0.0"  # noqa: S104 - a server in a pod is reached by the pod's address
PORT = 5000
MAX_SEQUENCES = 32
MAX_QUEUED = 128
DRAIN_SECONDS = 30.0


class BadStart(Exception):
    """Report in one sentence why the server cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Say what to serve, where, and within which bounds.

    Attributes:
        model: Folder in the hub's layout.
        preset: Name of the preset in the catalog, where there is one.
        served_model_names: Names given by flags; they replace the preset's.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        device: `auto`, `cpu` or `cuda`.
        dtype: `auto`, `bfloat16` or `float32`.
        engine: `native`, or `reference` for transformers' own `generate`.
        max_model_len: Longest prompt and answer together, tokens; None for the model's own.
        max_sequences: Sequences that decode together.
        max_queued: Requests that may wait.
        drain_seconds: How long SIGTERM waits for open answers.
    """

    model: Path
    preset: str | None = None
    served_model_names: tuple[str, ...] = ()
    host: str = HOST
    port: int = PORT
    device: str = "auto"
    dtype: str = "auto"
    engine: str = "native"
    max_model_len: int | None = None
    max_sequences: int = MAX_SEQUENCES
    max_queued: int = MAX_QUEUED
    drain_seconds: float = DRAIN_SECONDS


class _Parser(argparse.ArgumentParser):
    """Raise for a bad flag instead of ending the process with a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise BadStart(f"{message}; see --help")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """
    Turn flags into settings.

    Raises:
        BadStart: names the flag, the value and what is accepted.
    """
    given = _parser(environment).parse_args(arguments)
    if given.model is None:
        raise BadStart(
            "no model: pass --model DIR, a folder in the hub's layout, or set ATELIER_MODEL"
        )
    return Settings(
        **{
            **vars(given),
            "preset": given.preset or None,
            "served_model_names": tuple(given.served_model_names),
        }
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m model_server",
        description="Serve one model over HTTP in the shape of OpenAI's API.",
        epilog="Example: python -m model_server --model ./tiny --host 127.0.0.1 --port 5000",
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to serve")
    model = environment.get("ATELIER_MODEL")
    what.add_argument(
        "--model",
        metavar="DIR",
        type=Path,
        default=Path(model) if model else None,
        help="folder in the hub's layout: config, tokenizer, weights (default: $ATELIER_MODEL)",
    )
    what.add_argument(
        "--preset",
        metavar="NAME",
        default=environment.get("ATELIER_PRESET"),
        help="preset: names, revision, chat template, dtype (default: $ATELIER_PRESET, or none)",
    )
    what.add_argument(
        "--served-model-name",
        metavar="NAME",
        dest="served_model_names",
        action="append",
        default=[],
        help="name that requests may ask for; may be repeated "
        "(default: the preset's names, else the folder's)",
    )
    where = parser.add_argument_group("where to listen")
    where.add_argument("--host", default=HOST, help="address (default: %(default)s)")
    where.add_argument(
        "--port",
        type=_port,
        default=PORT,
        help="TCP port, 0 for a free one (default: %(default)s)",
    )
    how = parser.add_argument_group("how to run")
    how.add_argument("--device", choices=DEVICES, default="auto", help="(default: auto)")
    how.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="auto is the preset's on a GPU and float32 on a CPU (default: auto)",
    )
    how.add_argument(
        "--engine",
        choices=ENGINES,
        default="native",
        help="native, or reference: transformers' generate, one at a time (default: native)",
    )
    bounds = parser.add_argument_group("bounds")
    for flag, default, text in (
        (
            "--max-model-len",
            None,
            "longest prompt and answer together, tokens (default: the model's context)",
        ),
        (
            "--max-sequences",
            MAX_SEQUENCES,
            "sequences that decode together (default: %(default)s)",
        ),
        ("--max-queued", MAX_QUEUED, "waiting requests before 429 (default: %(default)s)"),
    ):
        bounds.add_argument(flag, metavar="N", type=_count, default=default, help=text)
    bounds.add_argument(
        "--drain-seconds",
        metavar="S",
        type=_seconds,
        default=DRAIN_SECONDS,
        help="how long SIGTERM waits for open answers (default: %(default)s)",
    )
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= MAX_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to {MAX_PORT}")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number from 1 up")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no time; give seconds from 0 up")
