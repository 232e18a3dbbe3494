"""
Start, show and end throw-away Kubernetes clusters: `python -m tests.cluster --help`.

Results go to stdout (`KUBECONFIG=$(python -m tests.cluster up)` works), everything else to stderr.
"""

import argparse
import signal
import sys

from tests.cluster import backends, contexts, disk, existing, folders, kind
from tests.cluster.binaries import CONTROL_PLANE, NAMES, ensure
from tests.cluster.karpenter import karpenter_crds
from tests.cluster.processes import processes
from tests.cluster.progress import say
from tests.cluster.surroundings import variable

DEFAULT_NAME = "local"
# What `make test` starts; the node size needs more.
TESTED_WITH = (*CONTROL_PLANE, "helm", "karpenter-kwok")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except RuntimeError as error:  # every error of the harness is one, with a message for a person
        say(f"error: {error}")
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    sizes = "; ".join(f"{name}: {each.summary}" for name, each in backends.SIZES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A throw-away Kubernetes for tests and the demo.",
        epilog="Everything lies in $ATELIER_CACHE (else ~/.cache/atelier). See docs/cluster.md.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="build and install what clusters need, up front")
    prepare.set_defaults(command=_prepare)
    prepare.add_argument("names", nargs="*", metavar="PROGRAM", help=f"some of {', '.join(NAMES)}")
    what = prepare.add_mutually_exclusive_group()
    what.add_argument(
        "--size",
        choices=list(backends.SIZES),
        help="what a cluster of that size needs, packages too",
    )
    what.add_argument("--all", action="store_true", help="all of it, then trim")

    up = commands.add_parser("up", help="start a cluster, leave it running, print its kubeconfig")
    up.set_defaults(command=_up)
    up.add_argument("--name", default=DEFAULT_NAME, help="default: %(default)s")
    up.add_argument("--size", choices=list(backends.SIZES), default="control-plane", help=sizes)
    up.add_argument(
        "--provider",
        choices=[each.value for each in contexts.Provider],
        default="auto",
        help="who runs it; auto: a named context, else kind where nodes are wanted and Docker"
        " answers, else our own (default: %(default)s)",
    )
    up.add_argument(
        "--context",
        default=variable("ATELIER_CONTEXT"),
        help="use the cluster behind this context of your kubeconfig (default: $ATELIER_CONTEXT)",
    )

    down = commands.add_parser("down", help="end a cluster and leave nothing of it")
    down.set_defaults(command=_down)
    which = down.add_mutually_exclusive_group()
    which.add_argument("--name", default=DEFAULT_NAME, help="default: %(default)s")
    which.add_argument(
        "--abandoned", action="store_true", help="all whose owner, e.g. a killed pytest, is gone"
    )

    status = commands.add_parser("status", help="what runs, where, and how much disk it takes")
    status.set_defaults(command=_status)

    kubeconfig = commands.add_parser("kubeconfig", help="print the path of a cluster's kubeconfig")
    kubeconfig.set_defaults(command=_kubeconfig)
    kubeconfig.add_argument("--name", default=DEFAULT_NAME, help="default: %(default)s")

    trim = commands.add_parser("trim", help="delete what only another build wants (gigabytes)")
    trim.set_defaults(command=_trim)
    return parser


def _prepare(parsed: argparse.Namespace) -> int:
    sizes = list(backends.SIZES) if parsed.all else [parsed.size] if parsed.size else []
    programs = [name for size in sizes for name in backends.SIZES[size].programs]
    names = NAMES if parsed.all else [*parsed.names, *programs] or TESTED_WITH
    for name, path in ensure(names).items():
        _result(f"{name} {path}")
    if "karpenter-kwok" in names:
        karpenter_crds()
    for size in sizes:
        backends.SIZES[size].prepare()
    return _trim(parsed) if parsed.all else 0


def _up(parsed: argparse.Namespace) -> int:
    backend = backends.SIZES[parsed.size]
    provider = contexts.choose(
        contexts.Provider(parsed.provider),
        needs_nodes=backend.needs_nodes,
        context=parsed.context,
        kind_works=kind.works,
    )
    if provider is contexts.Provider.EXISTING:
        kubeconfig = existing.up(parsed.name, parsed.context)
    elif provider is contexts.Provider.KIND:
        kubeconfig = kind.up(parsed.name)
    else:
        kubeconfig = backend.up(parsed.name)
    say(f"up; end it by: python -m tests.cluster down --name {parsed.name}")
    _result(str(kubeconfig))
    return 0


def _down(parsed: argparse.Namespace) -> int:
    names = [parsed.name]
    if parsed.abandoned:
        names = [cluster.name for cluster in folders.clusters() if cluster.is_abandoned()]
    for name in names:
        try:
            backends.down(name)
            say(f"down: {name}")
        except folders.NoSuchClusterError as error:  # what was asked for is so already
            say(str(error))
    return 0


def _status(_: argparse.Namespace) -> int:
    for cluster in folders.clusters():
        _result(f"{cluster.name}: {cluster.size}{_owner(cluster)}")
        _result(f"  kubeconfig {cluster.directory / 'kubeconfig'}")
        if (cluster.directory / "kubeconfig").exists():
            _result(f"  server {contexts.target(cluster.directory / 'kubeconfig').server}")
        for process in reversed(processes(cluster.directory)):
            pid = process.pid()
            _result(f"  {process.name} {f'pid {pid}' if pid else 'not running'}, {process.log}")
        _result(f"  disk {disk.used_bytes(cluster.directory) / 1e6:.0f} MB")
    for line in disk.report():
        _result(line)
    return 0


def _kubeconfig(parsed: argparse.Namespace) -> int:
    _result(str(folders.find(parsed.name).directory / "kubeconfig"))
    return 0


def _trim(_: argparse.Namespace) -> int:
    say(f"freed {disk.trim() / 1e6:.0f} MB")
    return 0


def _owner(cluster: folders.Cluster) -> str:
    if cluster.owner_pid is None:
        return ""
    return f", {'abandoned by' if cluster.is_abandoned() else 'of'} process {cluster.owner_pid}"


def _result(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
