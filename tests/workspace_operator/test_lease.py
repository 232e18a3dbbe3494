"""Exactly one process may write, whatever the clocks and the network do."""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from workspace_operator.cluster.errors import Conflict, Unreachable
from workspace_operator.cluster.kinds import Kind, Manifest
from workspace_operator.lease import (
    DURATION_SECONDS,
    RENEW_WITHIN_SECONDS,
    RETRY_SECONDS,
    Lease,
    LeaseLost,
    new_identity,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


class LeaseStore:
    """A cluster that holds nothing but one Lease, with optimistic locking as the real one."""

    def __init__(self) -> None:
        self.stored: Manifest | None = None
        self.version = 0
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            request = "GET lease"
            raise Unreachable(request, "no route")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.stored = copy.deepcopy(manifest)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.stored)

    async def find(self, _kind: Kind, _name: str, _namespace: str | None = None) -> Manifest | None:
        self._check()
        return copy.deepcopy(self.stored)

    async def create(self, manifest: Manifest) -> Manifest:
        self._check()
        if self.stored is not None:
            request = "POST leases"
            raise Conflict(request, "exists")
        return self._store(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        self._check()
        stored = self.stored
        if stored is None or (
            manifest["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]
        ):
            request = "PUT lease"
            raise Conflict(request, "was modified")
        return self._store(manifest)

    @property
    def holder(self) -> str:
        assert self.stored is not None
        return str(self.stored["spec"]["holderIdentity"])


def lease_of(store: LeaseStore, identity: str) -> Lease:
    return Lease(
        cluster=store,  # type: ignore[arg-type]  # only the three verbs that a Lease uses
        namespace="atelier-system",
        name="atelier-operator",
        identity=identity,
        monotonic=lambda: asyncio.get_running_loop().time(),
    )


def test_the_first_one_takes_it_at_once(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        lease = lease_of(store, "one")
        with pytest.raises(LeaseLost, match="atelier-system/atelier-operator"):
            lease.check()
        await lease.acquire()
        lease.check()
        assert store.holder == "one"

    in_virtual_time(main())


def test_a_second_one_waits_while_the_first_renews(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        first, second = lease_of(store, "one"), lease_of(store, "two")
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await second.acquire()
        assert first.is_held
        assert not second.is_held
        keeping.cancel()

    in_virtual_time(main())


def test_a_dead_holder_is_followed_after_its_duration_and_never_before(
    in_virtual_time: Run,
) -> None:
    async def main() -> None:
        store = LeaseStore()
        first, second = lease_of(store, "one"), lease_of(store, "two")
        await first.acquire()
        await second.acquire()
        waited = asyncio.get_running_loop().time()
        assert DURATION_SECONDS < waited <= DURATION_SECONDS + 2 * RETRY_SECONDS
        assert not first.is_held
        assert store.stored is not None
        assert store.stored["spec"]["leaseTransitions"] == 1

    in_virtual_time(main())


def test_a_thawed_holder_may_not_write(in_virtual_time: Run) -> None:
    async def main() -> None:
        lease = lease_of(LeaseStore(), "one")
        await lease.acquire()
        await asyncio.sleep(RENEW_WITHIN_SECONDS)
        with pytest.raises(LeaseLost):
            lease.check()

    in_virtual_time(main())


def test_a_holder_cut_off_from_the_api_server_stops_before_another_may_start(
    in_virtual_time: Run,
) -> None:
    async def main() -> None:
        store = LeaseStore()
        lease = lease_of(store, "one")
        await lease.acquire()
        store.broken = True
        with pytest.raises(LeaseLost):
            await lease.keep()
        assert asyncio.get_running_loop().time() < DURATION_SECONDS

    in_virtual_time(main())


def test_a_short_outage_is_survived(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        lease = lease_of(store, "one")
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        store.broken = True
        await asyncio.sleep(RENEW_WITHIN_SECONDS / 2)
        store.broken = False
        await asyncio.sleep(60)
        lease.check()
        keeping.cancel()

    in_virtual_time(main())


def test_a_holder_that_was_replaced_stops_at_once(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        lease = lease_of(store, "one")
        await lease.acquire()
        assert store.stored is not None
        store.stored["spec"]["holderIdentity"] = "two"
        with pytest.raises(LeaseLost):
            await lease.keep()
        assert asyncio.get_running_loop().time() <= 2 * RETRY_SECONDS
        assert store.holder == "two"

    in_virtual_time(main())


def test_releasing_lets_the_next_one_in_without_waiting(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        first, second = lease_of(store, "one"), lease_of(store, "two")
        await first.acquire()
        await first.release()
        assert not first.is_held
        await second.acquire()
        assert asyncio.get_running_loop().time() == 0
        await first.release()
        assert store.holder == "two", "a second release touches nothing"

    in_virtual_time(main())


def test_an_unreachable_api_server_does_not_spoil_the_shutdown(in_virtual_time: Run) -> None:
    async def main() -> None:
        store = LeaseStore()
        lease = lease_of(store, "one")
        await lease.acquire()
        store.broken = True
        await lease.release()
        assert not lease.is_held

    in_virtual_time(main())


def test_a_restarted_pod_is_not_its_own_past() -> None:
    assert new_identity("pod") != new_identity("pod")
    assert new_identity("pod").startswith("pod_")
