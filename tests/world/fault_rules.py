"""
Say which request of the operator meets which fault, and when.

A `Rule` picks requests by a predicate, counts those that it picks, and acts on the n-th of them (or
on all): before the API server has seen the request, or after it has answered and before the
operator hears of it. What is done is an action; `fault_proxy.py` carries it out.

Nothing here does I/O, so that the counting can be tested by itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.world.api import Manifest

Moment = Literal["before", "after"]
READS = frozenset({"GET", "LIST", "WATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    Hold one request of the operator.

    Attributes:
        verb: GET, LIST, WATCH, POST, PUT, PATCH or DELETE.
        path: Without the query.
        query: As it was sent.
        body: The parsed body; empty where there is none.
        token: The bearer token of the caller.
    """

    verb: str
    path: str
    query: str = ""
    body: Manifest = field(default_factory=dict)
    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Read as in a log."""
        return f"{self.verb} {self.path}"

    @property
    def is_write(self) -> bool:
        """Tell a write of a reconcile; keeping the Lease is none."""
        return self.verb not in READS and "/leases" not in self.path

    @property
    def plural(self) -> str:
        """Return the kind's name in the path: `nodeclaims`."""
        return _parts(self.path)[1]

    @property
    def namespace(self) -> str:
        """Return the namespace in the path, or nothing."""
        return _parts(self.path)[0]

    @property
    def name(self) -> str:
        """Return the object's name in the path, or nothing."""
        return _parts(self.path)[2]


def verb_of(method: str, path: str, query: str) -> str:
    """Tell reads of one object, of a collection, and watches apart."""
    if method != "GET":
        return method
    if "watch=" in query:
        return "WATCH"
    return "GET" if _parts(path)[2] else "LIST"


def _parts(path: str) -> tuple[str, str, str]:
    """Split a path into namespace, plural and name; what is missing is empty."""
    rest = path.strip("/").split("/")
    rest = rest[2:] if rest[0] == "api" else rest[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return namespace, rest[0] if rest else "", rest[1] if len(rest) > 1 else ""


@dataclass(frozen=True, slots=True)
class Kill:
    """End the operator as `kill -9` does, and let it hear nothing more."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request, or its answer, for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the place of the API server."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """Let the test do something at that moment; the request goes on afterwards."""

    what: Callable[[], Awaitable[object]]


Action = Kill | Drop | Delay | Answer | Call


def refusal(status: int, message: str, *, retry_after: int | None = None) -> Answer:
    """Answer as the API server does when it refuses."""
    text = f'{{"kind":"Status","apiVersion":"v1","code":{status},"message":"{message}"}}'
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, text.encode(), headers)


def any_write(asked: Asked) -> bool:
    """Pick every write of a reconcile."""
    return asked.is_write


@dataclass(slots=True, kw_only=True)
class Rule:
    """
    Act on some of the requests.

    Attributes:
        action: What to do.
        picks: Which requests count.
        nth: Which of those is acted on, from 1; 0 for each of them.
        moment: Before it is passed on, or after.
        seen: How many were picked so far.
        done: How often the rule has acted.
    """

    action: Action
    picks: Callable[[Asked], bool] = any_write
    nth: int = 0
    moment: Moment = "before"
    seen: int = 0
    done: int = 0

    def meets(self, asked: Asked) -> bool:
        """Count a request, and say whether it is the one to act on."""
        if not self.picks(asked):
            return False
        self.seen += 1
        acts = self.nth in {0, self.seen}
        self.done += acts
        return acts
