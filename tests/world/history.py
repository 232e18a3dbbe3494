"""
Keep every revision of every object that matters, in the order in which etcd made them.

A test that reads the API sees states between which anything may have happened. A watch of the
administrator's own, straight at the API server, tells each revision, and etcd numbers all of them
in one row, whatever their kind. So "never, at no moment" can be asked of what is written here.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tests.world.api import Api, Manifest

# Kind -> where all objects of it are.
FOLLOWED = {
    "Workspace": "/apis/kaito.sh/v1beta1/workspaces",
    "NodeClaim": "/apis/karpenter.sh/v1/nodeclaims",
    "Deployment": "/apis/apps/v1/deployments",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Service": "/api/v1/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "Pod": "/api/v1/pods",
    "Event": "/apis/events.k8s.io/v1/events",
}
PATIENCE_SECONDS = 5.0
WORKSPACE = "kaito.sh/workspace"
NAMESPACE = "kaito.sh/workspacenamespace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """
    Hold one revision of one object.

    Attributes:
        number: Of etcd, the same row for all kinds.
        change: ADDED, MODIFIED or DELETED.
        kind: The object's kind.
        body: The object as it was; the last state of one that was deleted.
        at: When it was heard of, on the monotonic clock.
    """

    number: int
    change: str
    kind: str
    body: Manifest
    at: float = 0.0

    @property
    def uid(self) -> str:
        """Tell one life of an object from another."""
        uid: str = self.body["metadata"]["uid"]
        return uid

    @property
    def name(self) -> str:
        """Return the object's name."""
        name: str = self.body["metadata"]["name"]
        return name

    @property
    def team(self) -> str:
        """Return the namespace that the object is in, or belongs to by its label."""
        metadata = self.body["metadata"]
        labels: dict[str, str] = metadata.get("labels") or {}
        team: str = metadata.get("namespace") or labels.get(NAMESPACE, "")
        return team


@dataclass(slots=True)
class History:
    """Follow the objects of all kinds, from the moment of `following`."""

    api: Api
    _known: dict[tuple[str, str], int] = field(default_factory=dict)
    _teams: dict[str, str] = field(default_factory=dict)
    _revisions: dict[str, list[Revision]] = field(default_factory=lambda: defaultdict(list))
    _claims: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def follow(self, kind: str) -> None:
        """Write down one kind until cancelled."""
        async for change, body in self.api.watch(FOLLOWED[kind]):
            number = int(body["metadata"]["resourceVersion"])
            uid = body["metadata"]["uid"]
            if self._known.get((kind, uid), -1) >= number:
                continue  # told again, after the watch was opened anew
            self._known[kind, uid] = number
            seen = Revision(number=number, change=change, kind=kind, body=body, at=time.monotonic())
            self._write_down(seen)

    def _write_down(self, seen: Revision) -> None:
        team = self._teams.setdefault(seen.uid, seen.team)
        self._revisions[team].append(seen)
        if seen.kind == "NodeClaim":
            self._claims[team].add(seen.name)

    def of(self, team: str, *kinds: str) -> list[Revision]:
        """
        Return what happened to the objects of one namespace, in etcd's order.

        A NodeClaim whose label was torn off stays with the namespace that it was made for.
        """
        found = [each for each in self._revisions[team] if not kinds or each.kind in kinds]
        return sorted(found, key=lambda each: each.number)

    def claim_names(self, team: str) -> set[str]:
        """Return the names of all claims that a namespace ever had."""
        return self._claims[team]

    async def caught_up(self) -> None:
        """
        Wait until all that has happened so far has been heard of, deletions too.

        A deletion while a watch was broken is told by none; it is written down by its absence.
        """
        for kind, path in FOLLOWED.items():
            page = await self.api.send("GET", path)
            upto = int(page["metadata"]["resourceVersion"])
            there = {
                each["metadata"]["uid"]: int(each["metadata"]["resourceVersion"])
                for each in page["items"]
            }
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not self._heard(kind, there) or self._missing(kind, there, upto):
                await asyncio.sleep(0.02)
                if time.monotonic() > deadline:
                    for each in self._missing(kind, there, upto):
                        self._write_down(replace(each, number=upto, change="DELETED"))

    def _heard(self, kind: str, there: dict[str, int]) -> bool:
        return all(self._known.get((kind, uid), -1) >= number for uid, number in there.items())

    def _missing(self, kind: str, there: dict[str, int], upto: int) -> list[Revision]:
        every = (each for team in self._revisions.values() for each in team if each.kind == kind)
        known = living(every)
        return [it for uid, it in known.items() if uid not in there and it.number <= upto]

    def forget(self, team: str) -> None:
        """Give up what is known of a namespace that nobody will ask about any more."""
        self._revisions.pop(team, None)
        self._claims.pop(team, None)


def living(revisions: Iterable[Revision]) -> dict[str, Revision]:
    """Return the last revision of every object that was not deleted, by uid."""
    found: dict[str, Revision] = {}
    for each in revisions:
        if each.change == "DELETED":
            found.pop(each.uid, None)
        else:
            found[each.uid] = each
    return found


@asynccontextmanager
async def following(api: Api) -> AsyncIterator[History]:
    """Write down the history for the length of a `with`."""
    history = History(api)
    tasks = [asyncio.create_task(history.follow(kind)) for kind in FOLLOWED]
    try:
        yield history
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):
            raise error
