"""
Build images from a shell: `python -m tests.images build operator tiny-mistral --output DIR`.

Prints one JSON object per image; what happens meanwhile goes to stderr. `clean` removes all of it.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from tests.cluster.packages import MissingPackagesError
from tests.cluster.surroundings import cache_directory
from tests.images import RECIPES, build_images
from tests.images.base import remove_tree
from tests.images.commands import BuildFailedError


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build images, or take them from the cache")
    build.add_argument("names", nargs="+", choices=sorted(RECIPES), metavar="NAME")
    build.add_argument(
        "--output", type=Path, metavar="DIR", help="also copy each archive to DIR/NAME.tar"
    )
    commands.add_parser("clean", help="remove all archives, layers and the base from the cache")
    parsed = parser.parse_args(arguments)
    if parsed.command == "clean":
        remove_tree(cache_directory() / "images")
        return 0
    try:
        images = build_images(parsed.names)
    except (BuildFailedError, MissingPackagesError) as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    for name, image in images.items():
        archive = image.archive
        if parsed.output is not None:
            parsed.output.mkdir(parents=True, exist_ok=True)
            archive = Path(shutil.copyfile(archive, parsed.output / f"{name}.tar"))
        print(json.dumps(asdict(image) | {"name": name, "archive": str(archive)}))  # noqa: T201 - the result
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
