"""What no event told us is found a sweep later; what stands still wakes nobody."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from workspace_operator.claim_names import ClaimNames
from workspace_operator.cluster import ClusterError, Forbidden, Gone, Kind, Manifest, Unreachable
from workspace_operator.cluster.kinds import NODE_CLAIM
from workspace_operator.cluster.port import whole
from workspace_operator.sweep import Sweep
from workspace_operator.wake import Key


class Shelf:
    """A cluster that can only be read."""

    def __init__(self) -> None:
        self.later: list[Manifest] = []
        self.objects: dict[str, list[Manifest]] = {}
        self.asked: list[tuple[str, str]] = []
        self.serves_claims = True
        self.error: ClusterError | None = None

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        fresh: bool = True,
        keep: Callable[[Manifest], Manifest] = whole,
    ) -> list[Manifest]:
        assert namespace is None
        assert not fields
        assert fresh
        self.asked.append((kind.kind, labels))
        if self.error is not None:
            raise self.error
        if kind is NODE_CLAIM and not self.serves_claims:
            request = "GET nodeclaims"
            raise Gone(request, "not served")
        return [keep({"kind": kind.kind, **each}) for each in self.objects.get(kind.kind, [])]

    async def find(self, kind: Kind, name: str, namespace: str) -> Manifest | None:
        """Find also what was made after the list."""
        found = (*self.objects.get(kind.kind, []), *self.later)
        named = (each for each in found if each["metadata"]["name"] == name)
        return next((each for each in named if each["metadata"]["namespace"] == namespace), None)


def thing(name: str, version: int = 1, uid: str = "", **metadata: Any) -> Manifest:  # noqa: ANN401
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            **metadata,
        }
    }


def claim(name: str, owner: str, owner_uid: str) -> Manifest:
    labels = {"kaito.sh/workspace": owner, "kaito.sh/workspacenamespace": "team"}
    return thing(name, labels=labels, annotations={"atelier.kaito.sh/workspace-uid": owner_uid})


async def sweep_twice(shelf: Shelf, then: dict[str, list[Manifest]]) -> list[Key]:
    woken: list[Key] = []
    sweep = Sweep(cluster=shelf, add=woken.append)  # type: ignore[arg-type]  # it only lists
    await sweep.once()
    woken.clear()
    shelf.objects |= then
    await sweep.once()
    return woken


async def test_what_stands_still_wakes_nobody() -> None:
    shelf = Shelf()
    shelf.objects = {
        "Workspace": [thing("a")],
        "NodeClaim": [claim("c", "a", "uid-a")],
        "Deployment": [thing("a", labels={"kaito.sh/workspace": "a"})],
    }
    assert await sweep_twice(shelf, {}) == []
    assert ("Deployment", "kaito.sh/workspace") in shelf.asked, "only ours are listed"


async def test_a_change_that_no_event_told_wakes_its_workspace() -> None:
    shelf = Shelf()
    labels = {"kaito.sh/workspace": "a"}
    shelf.objects = {
        "Workspace": [thing("a"), thing("b")],
        "Deployment": [thing("a", labels=labels)],
    }
    changed = {"Deployment": [thing("a", version=2, labels=labels)]}
    assert await sweep_twice(shelf, changed) == [Key("team", "a")]
    assert await sweep_twice(shelf, {"Deployment": []}) == [Key("team", "a")]


async def test_a_workspace_that_no_event_told_is_found() -> None:
    shelf = Shelf()
    shelf.objects = {"Workspace": [thing("a")]}
    both = {"Workspace": [thing("a"), thing("b")]}
    assert await sweep_twice(shelf, both) == [Key("team", "b")]


async def test_the_first_sweep_leaves_what_the_watches_have_just_told_to_them() -> None:
    shelf = Shelf()
    shelf.objects = {"Workspace": [thing("a")]}
    woken: list[Key] = []
    await Sweep(cluster=shelf, add=woken.append).once()  # type: ignore[arg-type]  # it only lists
    assert woken == []


async def test_a_deletion_that_no_event_told_wakes_its_workspace() -> None:
    shelf = Shelf()
    shelf.objects = {"Workspace": [thing("a")]}
    assert await sweep_twice(shelf, {"Workspace": []}) == [Key("team", "a")]


async def test_a_claim_without_workspace_is_found_by_the_first_sweep_and_every_other() -> None:
    shelf = Shelf()
    shelf.objects = {"NodeClaim": [claim("c", "gone", "uid-gone")]}
    woken: list[Key] = []
    sweep = Sweep(cluster=shelf, add=woken.append)  # type: ignore[arg-type]  # it only lists
    await sweep.once()
    await sweep.once()
    assert woken == [Key("team", "gone")] * 2


async def test_a_claim_whose_workspace_was_made_since_the_list_is_no_orphan() -> None:
    shelf = Shelf()
    shelf.objects = {"NodeClaim": [claim("c", "a", "uid-a")]}
    shelf.later = [thing("a")]
    woken: list[Key] = []
    orphans: list[int] = []
    sweep = Sweep(
        cluster=shelf,  # type: ignore[arg-type]  # it only reads
        add=woken.append,
        show_claims=lambda _steps, number: orphans.append(number),
    )
    await sweep.once()
    assert (woken, orphans) == ([], [0])


async def test_a_claim_that_no_event_told_is_shown_to_the_pass_that_is_woken_for_it() -> None:
    shelf, names, woken = Shelf(), ClaimNames(), list[Key]()
    shelf.objects = {"Workspace": [thing("a")], "NodeClaim": [claim("c", "a", "uid-a")]}
    sweep = Sweep(cluster=shelf, add=woken.append, show_claim=names.seen)  # type: ignore[arg-type]  # it only lists
    await sweep.once()
    assert names.of(("team", "a")) == ("c",)
    shelf.objects["NodeClaim"].append(claim("d", "a", "uid-a"))
    await sweep.once()
    assert (names.of(("team", "a")), woken) == (("c", "d"), [Key("team", "a")])


async def test_a_claim_of_an_earlier_life_of_the_workspace_is_found() -> None:
    shelf = Shelf()
    shelf.objects = {"Workspace": [thing("a", uid="new")], "NodeClaim": [claim("c", "a", "old")]}
    assert await sweep_twice(shelf, {}) == [Key("team", "a")]


async def test_a_claim_of_another_maker_is_left_alone() -> None:
    shelf = Shelf()
    foreign = claim("c", "gone", "x")
    foreign["metadata"]["annotations"] = {}
    shelf.objects = {"NodeClaim": [foreign]}
    assert await sweep_twice(shelf, {}) == []


async def test_a_cluster_without_node_claims_is_swept_too() -> None:
    shelf = Shelf()
    shelf.serves_claims = False
    shelf.objects = {"Workspace": [thing("a")]}
    assert await sweep_twice(shelf, {"Workspace": [thing("a", version=2)]}) == [Key("team", "a")]


REFUSED = Forbidden("GET workspaces", "no")
SILENT = Unreachable("GET workspaces", "no answer")


@pytest.mark.parametrize(("error", "beats"), [(None, 1), (REFUSED, 1), (SILENT, 0)])
async def test_health_hears_of_every_sweep_that_was_answered(
    error: ClusterError | None, beats: int
) -> None:
    shelf, heard = Shelf(), [0]
    shelf.error = error

    def beat() -> None:
        heard[0] += 1

    sweep = Sweep(cluster=shelf, add=lambda _key: None, on_answer=beat)  # type: ignore[arg-type]  # it only lists
    running = asyncio.create_task(sweep.run(3600))
    for _ in range(20):  # the shelf answers at once, so a few turns of the loop are a sweep
        await asyncio.sleep(0)
    running.cancel()
    assert shelf.asked
    assert heard == [beats]


async def test_claims_are_shown_by_their_last_step_and_lost_ones_counted() -> None:
    shelf, shown = Shelf(), list[tuple[list[str], int]]()
    true = {"status": "True"}
    launched = claim("b", "a", "uid-a") | {
        "status": {"conditions": [{"type": "Launched", **true}, {"type": "Registered"}]}
    }
    going = claim("d", "gone", "uid-gone")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    shelf.objects = {
        "Workspace": [thing("a")],
        "NodeClaim": [claim("c", "a", "uid-a"), launched, going],
    }

    def show(steps: Iterable[str], orphans: int) -> None:
        shown.append((list(steps), orphans))

    sweep = Sweep(cluster=shelf, add=lambda _key: None, show_claims=show)  # type: ignore[arg-type]  # it only lists
    await sweep.once()
    assert shown == [(["Requested", "Launched", "Deleting"], 1)]


@pytest.mark.parametrize(
    ("image", "replicas", "rivals"),
    [
        ("mcr.microsoft.com/aks/kaito/workspace:0.12.0", 1, 1),
        ("mcr.microsoft.com/aks/kaito/workspace:0.12.0", 0, 0),
        ("registry.example.com/team/workspace:1", 1, 0),
    ],
)
async def test_a_controller_of_kaitos_that_runs_is_counted(
    image: str, replicas: int, rivals: int
) -> None:
    shelf, shown = Shelf(), list[int]()
    controller = thing("kaito-workspace") | {
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"image": image}]}}}
    }
    shelf.objects = {"Deployment": [controller]}
    sweep = Sweep(cluster=shelf, add=lambda _key: None, show_rivals=shown.append)  # type: ignore[arg-type]  # it only lists
    await sweep.once()
    assert shown == [rivals]


def test_in_a_crowd_a_sweep_waits_half_as_long_again_and_no_longer(
    in_virtual_time: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        swept: list[float] = []
        sweep = Sweep(
            cluster=Shelf(),  # type: ignore[arg-type]  # it only lists
            add=lambda _key: None,
            on_answer=lambda: swept.append(loop.time()),
            is_crowded=lambda: loop.time() < 160,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(230):
                await sweep.run(60)
        assert swept == [0, 90, pytest.approx(160, abs=2), pytest.approx(220, abs=2)]

    in_virtual_time(main())
