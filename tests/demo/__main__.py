"""`python -m tests.demo up|down`: the whole line for a person to watch (make demo)."""

import argparse
import sys

from tests.cluster import node_cluster
from tests.cluster.go_modules import BuildError
from tests.cluster.node_cluster import CannotRunNodesError
from tests.cluster.packages import MissingPackagesError
from tests.cluster.processes import NotReadyError
from tests.demo import line
from tests.demo.closing import closing
from tests.demo.narration import Narration
from tests.demo.watching import WorkspaceStuckError

NAME = "demo"

# What can go wrong without being a bug: told in its own words, without a traceback.
EXPECTED = (
    BuildError,
    CannotRunNodesError,
    MissingPackagesError,
    NotReadyError,
    WorkspaceStuckError,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Start a real Kubernetes on this machine, install the operator with Helm,"
        " apply a Workspace, and ask the model a question.",
        epilog="The cluster stays for you to look at; `down` leaves nothing of it but the cache.",
    )
    parser.add_argument("command", choices=("up", "down"))
    chosen = parser.parse_args(arguments)
    if chosen.command == "down":
        node_cluster.down(NAME)
        return 0
    story = Narration(total=line.STEPS)
    print(line.STAND_INS)
    try:
        outcome = line.run(NAME, story)
    except EXPECTED as error:
        print(f"\n{error}\n\n{story.summary()}", file=sys.stderr)
        return 1
    print(closing(outcome, story))
    return 0


if __name__ == "__main__":
    sys.exit(main())
