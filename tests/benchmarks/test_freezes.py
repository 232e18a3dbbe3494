"""The judge of who wrote without the Lease knows who holds it, however slow the API server is."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from benchmarks.freezes import Replica, Watchman
from tests.world.fault_proxy import Exchange, FaultProxy
from tests.world.fault_rules import Asked

if TYPE_CHECKING:
    from benchmarks.measured import MeasuredOperator

LEASE = "/apis/coordination.k8s.io/v1/namespaces/atelier-system/leases/atelier-operator"
OK = 200


class Log:
    """Stand for a proxy, of which only the log is read."""

    def __init__(self) -> None:
        self.log: list[Exchange] = []

    def note(self, asked: Asked, *, ago: float, status: int = OK) -> None:
        at = time.monotonic() - ago
        self.log.append(Exchange(asked=asked, at=at, status=status))


def claim(name: str) -> Asked:
    return Asked(verb="PUT", path=LEASE, body={"spec": {"holderIdentity": f"{name}_1"}})


WRITE = Asked(verb="POST", path="/api/v1/namespaces/bench/services")


def two() -> tuple[Watchman, Log, Log]:
    logs = Log(), Log()
    replicas = [
        Replica(cast("MeasuredOperator", Named(name)), cast("FaultProxy", log))
        for name, log in zip(("first", "second"), logs, strict=True)
    ]
    return Watchman(replicas), *logs


class Named:
    """Stand for an operator, of which only the name is read."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_who_writes_without_the_lease_is_an_intruder() -> None:
    watchman, first, second = two()
    first.note(claim("first"), ago=9)
    first.note(WRITE, ago=8)
    second.note(WRITE, ago=7)
    watchman.look(before=time.monotonic())
    assert (watchman.holder, watchman.writes) == ("first", 2)
    assert watchman.intruders == [f"second while first: {WRITE}"]


def test_a_claim_to_the_lease_that_is_answered_late_is_waited_for() -> None:
    watchman, first, second = two()
    first.note(claim("first"), ago=9)
    second.note(claim("second"), ago=5, status=0)
    second.note(WRITE, ago=4)
    watchman.look(before=time.monotonic())
    assert (watchman.holder, watchman.writes) == ("first", 0)
    second.log[0] = replace(second.log[0], status=OK)
    watchman.look(before=time.monotonic())
    assert (watchman.holder, watchman.writes, watchman.intruders) == ("second", 1, [])


def test_a_claim_that_is_never_answered_is_not_waited_for() -> None:
    watchman, first, second = two()
    second.note(claim("second"), ago=100, status=0)
    first.note(claim("first"), ago=9)
    first.note(WRITE, ago=8)
    watchman.look(before=time.monotonic())
    assert (watchman.holder, watchman.writes, watchman.intruders) == ("first", 1, [])
