"""
Read the command line once, into settings.

The flags are the contract between operator and server (docs/architecture.md); docs/server.md lists
them. The environment gives two defaults, and only `__main__` reads it: here it is an argument.

Must not import torch, transformers, or anything that opens a socket.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from model_server import settings
from model_server.adapter_choice import BadChoice, choices_of
from model_server.settings import BadStart, FastPaths, Settings

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "bfloat16", "float32")
ENGINES = ("native", "reference")
MAX_PORT = 65535
SEVERAL = ("served_model_names", "cors_origins")


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
    given = vars(_parser(environment).parse_args(arguments))
    if given["model"] is None:
        raise BadStart(
            "no model: pass --model DIR, a folder in the hub's layout, or set ATELIER_MODEL"
        )
    if given["tls_key"] and not given["tls_certificate"]:
        raise BadStart("--tls-key has no use without --tls-certificate; give both or none")
    if given["merge_adapters"] and not given["adapters"]:
        raise BadStart("--merge-adapters has no use without --adapter; give both or none")
    lists: dict[str, tuple[object, ...]] = {name: tuple(given[name]) for name in SEVERAL}
    try:
        lists["adapters"] = choices_of(given["adapters"], given.pop("adapter_strengths"))
    except BadChoice as error:
        raise BadStart(str(error)) from None
    return Settings(**{**given, "preset": given["preset"] or None, **lists})


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m model_server",
        description="Serve one model over HTTP in the shape of OpenAI's API.",
        epilog="Example: python -m model_server --model ./tiny --host 127.0.0.1 --port 5000",
        allow_abbrev=False,
    )
    _add_model(parser.add_argument_group("what to serve"), environment)
    _add_adapters(parser.add_argument_group("adapters of the model"))
    _add_place(parser.add_argument_group("where to listen"))
    _add_access(parser.add_argument_group("who may ask"))
    _add_run(parser.add_argument_group("how to run"))
    _add_bounds(parser.add_argument_group("bounds"))
    return parser


def _add_model(group: "argparse._ArgumentGroup", environment: Mapping[str, str]) -> None:
    model = environment.get("ATELIER_MODEL")
    group.add_argument(
        "--model",
        metavar="DIR",
        type=Path,
        default=Path(model) if model else None,
        help="folder in the hub's layout: config, tokenizer, weights (default: $ATELIER_MODEL)",
    )
    group.add_argument(
        "--preset",
        metavar="NAME",
        default=environment.get("ATELIER_PRESET"),
        help="preset: names, revision, chat template, dtype (default: $ATELIER_PRESET, or none)",
    )
    group.add_argument(
        "--require-lock",
        action="store_true",
        help="refuse a folder without weights.lock.json (default: it is served, not attested)",
    )
    group.add_argument(
        "--served-model-name",
        metavar="NAME",
        dest="served_model_names",
        action="append",
        default=[],
        help="name that requests may ask for; may be repeated "
        "(default: the preset's names, else the folder's)",
    )


def _add_adapters(group: "argparse._ArgumentGroup") -> None:
    for flag, metavar, name, text in (
        ("--adapter", "NAME=DIR", "adapters", "LoRA adapter in peft's form; may be repeated"),
        (
            "--adapter-strength",
            "NAME=0.5",
            "adapter_strengths",
            "0 to 1, a factor of what the adapter adds; may be repeated (default: 1)",
        ),
    ):
        group.add_argument(flag, metavar=metavar, dest=name, action="append", default=[], help=text)
    group.add_argument(
        "--merge-adapters",
        action="store_true",
        help="merge all of them into the weights, for every request "
        "(default: a request's model names the adapter)",
    )


def _add_place(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--host", default=settings.HOST, help="address (default: %(default)s)")
    group.add_argument(
        "--port",
        type=_port,
        default=settings.PORT,
        help="TCP port, 0 for a free one (default: %(default)s)",
    )
    group.add_argument(
        "--probe-port",
        metavar="PORT",
        type=_port,
        help="TCP port for /health, /ready and /metrics alone, in a thread of its own "
        "(default: none; --port has them in any case)",
    )


def _add_access(group: "argparse._ArgumentGroup") -> None:
    for flag, metavar, text in (
        ("--api-keys", "PATH", "file with one key per line, or folder of files (default: no key)"),
        ("--tls-certificate", "FILE", "PEM certificate with its chain (default: plain HTTP)"),
        ("--tls-key", "FILE", "PEM private key (default: in the certificate's file)"),
    ):
        group.add_argument(flag, metavar=metavar, type=Path, help=text)
    group.add_argument(
        "--cors-origin",
        metavar="ORIGIN",
        dest="cors_origins",
        action="append",
        default=[],
        help="origin whose pages browsers let call, or *; may be repeated (default: none)",
    )


def _add_run(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--device", choices=DEVICES, default="auto", help="(default: auto)")
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="auto is the preset's on a GPU and float32 on a CPU (default: auto)",
    )
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="native",
        help="native, or reference: transformers' generate, one at a time (default: native)",
    )
    group.add_argument(
        "--fast-paths",
        choices=tuple(FastPaths),
        type=FastPaths,
        default=settings.FAST_PATHS,
        help="how far native goes beyond transformers' own forward (default: %(default)s)",
    )


def _add_bounds(group: "argparse._ArgumentGroup") -> None:
    for flag, count, text in (
        ("--max-model-len", None, "longest prompt and answer together, tokens "),
        ("--max-sequences", settings.MAX_SEQUENCES, "sequences that decode together "),
        ("--max-queued", settings.MAX_QUEUED, "waiting requests before 429 "),
    ):
        default = "(default: %(default)s)" if count else "(default: the model's context)"
        group.add_argument(flag, metavar="N", type=_count, default=count, help=text + default)
    for flag, seconds, text in (
        (
            "--first-token-seconds",
            settings.FIRST_TOKEN_SECONDS,
            "how long a request may wait for its first token before 503",
        ),
        (
            "--answer-seconds",
            settings.ANSWER_SECONDS,
            "how long a whole answer may take before 504",
        ),
        ("--drain-seconds", settings.DRAIN_SECONDS, "how long SIGTERM waits for open answers"),
    ):
        help_text = f"{text} (default: %(default)s)"
        group.add_argument(flag, metavar="S", type=_seconds, default=seconds, help=help_text)


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
