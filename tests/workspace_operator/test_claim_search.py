"""Claims are read by name where enough of them are known, and listed where one may be made."""

import asyncio
import builtins
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.api import NodeAttempt, WorkspaceStatus
from workspace_operator.claim_names import ClaimNames
from workspace_operator.claim_search import ClaimSearch, claim_selector
from workspace_operator.cluster import Gone, Kind, Manifest
from workspace_operator.cluster.port import whole
from workspace_operator.objects.metadata import Identity, claim_labels

from tests.builders.memory_cluster import MemoryCluster

OWNER = Identity(name="mistral", namespace="team", uid="u1")
KEY = ("team", "mistral")
OF_ANOTHER = Identity(name="other", namespace="team", uid="u2")
NAMES = st.sets(st.sampled_from("abcdef"))


@dataclass
class Listing(MemoryCluster):
    """A cluster that notes which of its lists had to be fresh, and may not know the kind."""

    lists: builtins.list[bool] = field(default_factory=builtins.list)
    serves: bool = True

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        fresh: bool = True,
        keep: Callable[[Manifest], Manifest] = whole,
    ) -> builtins.list[Manifest]:
        self.lists.append(fresh)
        if not self.serves:
            request = "GET nodeclaims"
            raise Gone(request, "not served")
        return await super().list(
            kind, namespace=namespace, labels=labels, fields=fields, fresh=fresh, keep=keep
        )


def cluster(*ours: str, others: tuple[str, ...] = ()) -> Listing:
    """Hold claims of a Workspace, and some with the labels of another."""
    held = Listing()
    for owner, names in ((OWNER, ours), (OF_ANOTHER, others)):
        for name in names:
            metadata = {"name": name, "labels": claim_labels(owner)}
            kind = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim"}
            held.put({**kind, "metadata": metadata})
    return held


def remembering(*names: str) -> WorkspaceStatus:
    attempts = [NodeAttempt(ordinal=n, attempt=0, claim=name) for n, name in enumerate(names)]
    return WorkspaceStatus(node_attempts=tuple(attempts))


def known(*names: str) -> ClaimNames:
    found = ClaimNames()
    for name in names:
        found.seen(KEY, name)
    return found


def names(claims: list[Manifest] | None) -> list[str]:
    assert claims is not None
    return sorted(claim["metadata"]["name"] for claim in claims)


async def test_a_claim_that_the_status_remembers_is_read_by_its_name() -> None:
    held = cluster("a")
    search = ClaimSearch(cluster=held)
    assert names(await search.enough(OWNER, remembering("a"), wanted=1)) == ["a"]
    assert held.lists == []


async def test_a_claim_too_many_is_found_once_an_event_has_shown_it() -> None:
    """Somebody else has made it between two passes."""
    held = cluster("a", "theirs")
    search = ClaimSearch(cluster=held, names=known("theirs"))
    assert names(await search.enough(OWNER, remembering("a"), wanted=1)) == ["a", "theirs"]
    assert held.lists == []


async def test_where_one_may_be_made_those_that_nobody_has_shown_are_found() -> None:
    held = cluster("a", "theirs")
    search = ClaimSearch(cluster=held)
    assert names(await search.enough(OWNER, remembering("a"), wanted=2)) == ["a", "theirs"]
    assert held.lists == [False]


async def test_a_status_that_remembers_nothing_is_no_proof_that_there_is_nothing() -> None:
    held = cluster("a")
    assert names(await ClaimSearch(cluster=held).enough(OWNER, remembering(), wanted=1)) == ["a"]
    assert names(await ClaimSearch(cluster=held).enough(OWNER, remembering(), wanted=0)) == ["a"]


async def test_a_claim_with_labels_of_another_is_none_of_the_wanted() -> None:
    held = cluster("b", others=("a",))
    search = ClaimSearch(cluster=held)
    assert names(await search.enough(OWNER, remembering("a"), wanted=1)) == ["a", "b"]


async def test_a_name_that_leads_nowhere_is_forgotten() -> None:
    held = cluster("a")
    search = ClaimSearch(cluster=held, names=known("a", "gone"))
    await search.enough(OWNER, remembering(), wanted=1)
    assert search.names.of(KEY) == ("a",)


async def test_a_kind_that_is_not_served_is_not_the_same_as_no_claim() -> None:
    held = cluster()
    held.serves = False
    search = ClaimSearch(cluster=held)
    assert await search.enough(OWNER, remembering("a"), wanted=1) is None
    assert await search.every(OWNER, remembering("a")) is None


async def test_who_lets_a_workspace_go_lists_afresh() -> None:
    held = cluster("a", "b", others=("c",))
    search = ClaimSearch(cluster=held, names=known("a"))
    assert names(await search.every(OWNER, remembering("a", "c"))) == ["a", "b", "c"]
    assert held.lists == [True]


@given(NAMES, NAMES, NAMES, NAMES, st.integers(0, 4))
def test_what_is_missed_is_never_what_a_decision_to_buy_rests_on(
    ours: set[str], others: set[str], told: set[str], heard: set[str], wanted: int
) -> None:
    held = cluster(*ours, others=tuple(others - ours))
    search = ClaimSearch(cluster=held, names=known(*sorted(heard)))
    found = names(asyncio.run(search.enough(OWNER, remembering(*sorted(told)), wanted)))
    assert len(found) == len(set(found))
    assert set(found) >= (told | heard) & (ours | others)
    if ours - set(found):
        assert len(ours & set(found)) >= wanted, "there are enough, so none is made"
        assert found
    known_by_name = (told | heard) & (ours | others)
    enough = bool(known_by_name) and len(ours & known_by_name) >= wanted
    assert bool(held.lists) != enough


def test_claims_are_found_by_name_and_namespace_of_their_workspace() -> None:
    assert claim_selector("team", "mistral") == (
        "kaito.sh/workspace=mistral,kaito.sh/workspacenamespace=team"
    )


def test_names_come_and_go() -> None:
    held = known("a", "b", "a", "")
    assert held.of(KEY) == ("a", "b")
    held.gone(KEY, "c")
    held.gone(KEY, "a")
    assert held.of(KEY) == ("b",)
    assert held.of(("team", "other")) == ()
    held.gone(KEY, "b")
    assert held.of(KEY) == ()
    assert held == ClaimNames(), "a Workspace without claims costs no memory"
