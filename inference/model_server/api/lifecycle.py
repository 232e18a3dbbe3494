"""
Keep the truth about how far this server is, from the first import to the drain.

The port opens before anything is loaded, so that whoever waits for minutes can ask for what:
`/ready` shows the phase, the bytes loaded and the seconds that each finished phase took. The
operator reads exactly this document (docs/architecture.md).

    starting ──> loading ──> warming ──> ready ──> draining
        └───────────┴───────────┴──────────┴──────> failed

Invariant: a phase never goes back, and `ready` is entered only after a token has been generated.
Loading reports from its own thread, everything else from the event loop; a lock covers both.

Must not import torch, transformers, or anything of HTTP.
"""

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Phase(enum.Enum):
    """Name how far the server is."""

    STARTING = "starting"  # importing libraries
    LOADING = "loading"  # reading weights
    WARMING = "warming"  # generating the first token
    READY = "ready"
    DRAINING = "draining"  # finishing open answers, taking no new ones
    FAILED = "failed"


ORDER = tuple(Phase)
DURATIONS = {Phase.STARTING: "import", Phase.LOADING: "load", Phase.WARMING: "first_token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterIdentity:
    """Say which adapter is served beside the model, or merged into it."""

    name: str
    digest: str
    strength: float
    is_merged: bool = False

    def document(self) -> dict[str, str | float | bool]:
        """Return the identity as `/ready` shows it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "strength": self.strength,
            "merged": self.is_merged,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Say which model this server serves, as far as can be attested."""

    name: str
    revision: str | None = None
    digest: str | None = None  # of the weights' lock file
    adapters: tuple[AdapterIdentity, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the identity as `/ready` shows it; a model without adapters is silent of them."""
        own = {"name": self.name, "revision": self.revision, "digest": self.digest}
        if not self.adapters:
            return own
        return {**own, "adapters": [adapter.document() for adapter in self.adapters]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Show one moment of the life cycle."""

    phase: Phase
    model: ModelIdentity
    bytes_loaded: int = 0
    bytes_total: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.phase is Phase.READY and self.error is None

    def document(self) -> dict[str, Any]:
        """Return the body of `/ready`."""
        return {
            "ready": self.is_ready,
            "phase": self.phase.value,
            "model": self.model.document(),
            "progress": {"bytes_loaded": self.bytes_loaded, "bytes_total": self.bytes_total},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "error": self.error,
        }

    def sentence(self) -> str:
        """Say why no request is taken now, for a caller who was turned away."""
        match self.phase:
            case Phase.LOADING if self.bytes_total:
                share = f"{self.bytes_loaded / self.bytes_total:.0%}"
                return f"the model is loading: {share} of {self.bytes_total:,} bytes"
            case Phase.STARTING | Phase.LOADING:
                return "the model is loading"
            case Phase.WARMING:
                return "the model is loaded and generates its first token"
            case Phase.DRAINING:
                return "this server is shutting down"
            case Phase.READY | Phase.FAILED:
                return f"this server cannot answer: {self.error}"


class Lifecycle:
    """Record the phases as they are entered."""

    def __init__(
        self, model: ModelIdentity, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin in `starting`, now."""
        self._lock = threading.Lock()
        self._clock = clock
        self._phase = Phase.STARTING
        self._entered = clock()
        self._model = model
        self._bytes = (0, 0)
        self._seconds: dict[str, float] = {}
        self._error: str | None = None

    def enter(self, phase: Phase) -> None:
        """Go on to a later phase; a step back is a fault of the program and is ignored."""
        with self._lock:
            if ORDER.index(phase) <= ORDER.index(self._phase):
                return
            now = self._clock()
            name = DURATIONS.get(self._phase)
            if name is not None and phase not in (Phase.FAILED, Phase.DRAINING):
                self._seconds[name] = now - self._entered
            self._phase, self._entered = phase, now

    def fail(self, error: str) -> None:
        """Enter `failed` for good, with one sentence."""
        self.enter(Phase.FAILED)
        with self._lock:
            self._error = error

    def trouble(self, error: str | None) -> None:
        """Report a trouble that may pass: not ready while there is one."""
        with self._lock:
            if self._phase is not Phase.FAILED:
                self._error = error

    def loaded(self, bytes_loaded: int, bytes_total: int) -> None:
        """Report progress of the weights; any thread may."""
        with self._lock:
            self._bytes = (bytes_loaded, bytes_total)

    def identify(self, model: ModelIdentity) -> None:
        """Replace what was believed of the model by what its files attest."""
        with self._lock:
            self._model = model

    def now(self) -> Readiness:
        """Show this moment."""
        with self._lock:
            loaded, total = self._bytes
            return Readiness(
                phase=self._phase,
                model=self._model,
                bytes_loaded=loaded,
                bytes_total=total,
                seconds=dict(self._seconds),
                error=self._error,
            )
