"""
Run `python -m release --registry HOST/FOLDER --key KEY --images DIR`: publish a release.

Prints one JSON object per thing that was pushed, signed and verified; what happens meanwhile goes
to stderr. Leaves values-release.yaml, cosign.pub and release.json in the folder of --output.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from model_presets.catalog import load_catalog

from release.contents import ReleaseError, images_in, parsed_registry
from release.programs import Programs, reading_passwords_from
from release.publishing import Plan, publish
from release.signing import signer
from tests.cluster.binaries import ensure
from tests.cluster.go_modules import BuildError
from tests.cluster.packages import MissingPackagesError, find_program, require_debian_packages
from tests.images.recipes import VERSION

CHART = Path(__file__).parents[1] / "charts" / "atelier"


def main(arguments: list[str] | None = None) -> int:
    """Publish; return the exit code."""
    parsed = build_parser().parse_args(arguments)
    try:
        registry = parsed_registry(parsed.registry)
        plan = Plan(
            registry=registry,
            version=parsed.version,
            images=images_in(parsed.images, load_catalog().names()),
            chart=CHART,
            output=parsed.output,
        )
        programs = found_programs(parsed.auth_file, plain_http=parsed.plain_http)
        parsed.output.mkdir(parents=True, exist_ok=True)
        by = signer(programs, parsed.key, parsed.output, transparency_log=parsed.transparency_log)
        for each in publish(plan, programs, by):
            print(json.dumps(asdict(each)))  # noqa: T201 - the result
    except (BuildError, MissingPackagesError, ReleaseError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m release",
        description="Push images and chart to a registry, sign each digest, attest the bills of"
        " materials, verify all of it, and write the values that install the release.",
        epilog="Passwords: of the registry as `docker login` left it (or --auth-file), of a key in"
        " a file from COSIGN_PASSWORD. The first run builds cosign, which takes minutes.",
    )
    add = parser.add_argument
    add("--registry", required=True, metavar="HOST/FOLDER", help="where everything goes")
    add("--key", required=True, help="file of a private key, or a KMS URI that cosign knows")
    add(
        "--images",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder with operator.tar, PRESET.tar and PRESET-tuning.tar: docker-archives",
    )
    add("--output", type=Path, default=Path("dist"), metavar="DIR", help="default: dist")
    add("--version", default=VERSION, help=f"tag of the images; default: {VERSION}")
    add("--auth-file", type=Path, metavar="FILE", help="another config.json than Docker's own")
    add("--plain-http", action="store_true", help="the registry is on this machine, without TLS")
    add(
        "--transparency-log",
        action="store_true",
        help="also enter each signature in sigstore's public log, where it stays for ever",
    )
    return parser


def found_programs(auth_file: Path | None, *, plain_http: bool) -> Programs:
    """
    Find or build what a release is made with.

    Raises:
        BuildError: cosign or helm cannot be built.
        MissingPackagesError: skopeo cannot be installed.
        ReleaseError: the file of passwords is not one.
    """
    passwords = reading_passwords_from(auth_file.absolute()) if auth_file is not None else {}
    require_debian_packages({"skopeo": "skopeo"})
    skopeo = find_program("skopeo")
    if skopeo is None:
        raise MissingPackagesError("missing: skopeo")
    built = ensure(["cosign", "helm"])
    return Programs(
        cosign=built["cosign"],
        helm=built["helm"],
        skopeo=skopeo,
        environment=dict(os.environ) | {"HELM_NO_PLUGINS": "1"} | passwords,  # noqa: TID251 - main
        plain_http=plain_http,
    )


if __name__ == "__main__":
    sys.exit(main())
