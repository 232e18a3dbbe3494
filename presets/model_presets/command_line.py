"""
Read the words of `python -m model_presets`, and name the command that a misspelt one was meant for.

A wrong call ends with exit code 2 and the usage on stderr, as argparse has it. No command is run
here, and the environment is not read.
"""

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

WRONG_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)$")


def read_command(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command and what it takes; a wrong call ends the process with code 2."""
    parser = _parser()
    try:
        return parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        parser.error(f"{error}{_meant(str(error))}")


def _meant(refusal: str) -> str:
    """Name the choices nearest to the one that was refused."""
    found = WRONG_CHOICE.search(refusal)
    if found is None:
        return ""
    near = difflib.get_close_matches(found[1], re.findall(r"'(.*?)'", found[2]), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m model_presets",
        description="Presets, and the weights that they pin.",
        exit_on_error=False,
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
    fetch.add_argument(
        "--lock",
        dest="expected",
        type=Path,
        metavar="FILE",
        help="fetch exactly the files of this lock (see `lock --from-hub`)",
    )
    locks = commands.add_parser(
        "lock", help="convert pickled shards where there are any, then write the lock file"
    )
    locks.add_argument("preset")
    locks.add_argument("directory", type=Path, help="folder of weights; with --from-hub, the file")
    locks.add_argument(
        "--from-hub",
        action="store_true",
        help="ask the hub for sizes and SHA-256 of the pinned revision; fetch no weights",
    )
    raw = commands.add_parser(
        "convert", help="turn a raw checkpoint (params.json, consolidated*) into the hub's layout"
    )
    raw.add_argument("source", type=Path)
    raw.add_argument("directory", type=Path)
    pull = commands.add_parser("pull-image", help="write the folder /data of an OCI image to disk")
    pull.add_argument("image")
    pull.add_argument("directory", type=Path)
    pull.add_argument(
        "--auth", type=Path, metavar="FILE", help="Docker's config.json with the credentials"
    )
    pull.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    start = commands.add_parser(
        "fetch-weights", help="download, convert and lock, as a pod does before its server starts"
    )
    start.add_argument("preset")
    start.add_argument("directory", type=Path)
    start.add_argument(
        "--port", type=int, default=5000, help="GET /ready tells how far it is (5000; 0: any)"
    )
    start.add_argument(
        "--last-words",
        type=Path,
        default=Path("/dev/termination-log"),
        metavar="FILE",
        help="takes the sentence of a failure, where it is there (/dev/termination-log)",
    )
    check = commands.add_parser("verify", help="compare every byte with the lock file")
    check.add_argument("preset")
    check.add_argument("directory", type=Path)
    return parser
