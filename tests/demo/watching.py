"""
Follow one Workspace as a user would, and say each thing once.

What is printed is what the operator writes into the Workspace's status: nothing is guessed from
other objects, since the point of the demo is that the status is enough.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.control_plane import ControlPlane

POLL_SECONDS = 0.5
SUCCEEDED = "WorkspaceSucceeded"

Status = Mapping[str, Any]


class WorkspaceStuckError(RuntimeError):
    """A Workspace did not succeed in time; the message has what its conditions say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What stood in a Workspace's status at a moment."""

    seconds: float
    phase: str
    progress: str
    succeeded: bool

    @property
    def words(self) -> str:
        """Phase and progress in one line."""
        return f"{self.phase}: {self.progress}" if self.progress else self.phase


def sighting(status: Status, seconds: float) -> Sighting:
    """Read a status, half-filled ones included."""
    return Sighting(
        seconds=seconds,
        phase=status.get("phase") or "not looked at yet",
        progress=status.get("progress") or "",
        succeeded=condition(status, SUCCEEDED).get("status") == "True",
    )


def condition(status: Status, kind: str) -> Mapping[str, str]:
    """Return a condition by its type, or an empty one."""
    conditions: list[Mapping[str, str]] = status.get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def unmet(status: Status) -> str:
    """Say, a line each, which conditions do not hold and why."""
    return "\n".join(
        f"{each['type']}={each['status']} {each['reason']}: {each['message']}"
        for each in status.get("conditions") or []
        if each["status"] != "True"
    )


def changes_of(statuses: Iterator[tuple[float, Status]]) -> Iterator[Sighting]:
    """Keep the sightings whose words are news."""
    before = ""
    for seconds, status in statuses:
        seen = sighting(status, seconds)
        if seen.words != before:
            before = seen.words
            yield seen
        if seen.succeeded:
            return


def follow(
    plane: ControlPlane,
    name: str,
    *,
    deadline_seconds: float,
    say: Callable[[str], None],
    look: Callable[[Status], object] = id,
) -> Status:
    """
    Wait until a Workspace of the default namespace succeeds, telling what its status says.

    Args:
        plane: Where it is.
        name: Of the Workspace.
        deadline_seconds: How long to wait.
        say: Told each news in words.
        look: Given every status that is read.

    Raises:
        WorkspaceStuckError: It did not, in time.
    """
    started = time.monotonic()
    latest: Status = {}

    def statuses() -> Iterator[tuple[float, Status]]:
        nonlocal latest
        while (seconds := time.monotonic() - started) < deadline_seconds:
            latest = plane.read("get", "workspace", name).get("status") or {}
            look(latest)
            yield seconds, latest
            time.sleep(POLL_SECONDS)

    for seen in changes_of(statuses()):
        say(f"{seen.seconds:6.1f} s  {seen.words}")
    if not sighting(latest, 0).succeeded:
        raise WorkspaceStuckError(
            f"workspace {name}: not {SUCCEEDED} after {deadline_seconds:.0f} s\n{unmet(latest)}"
        )
    return latest
