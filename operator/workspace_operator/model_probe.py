"""
Ask each pod whether it serves: not whether a port is open, but whether a token comes out.

`GET /ready` is cheap and tells how far the server has come (docs/architecture.md has the contract).
When it says ready, one token is asked for: at once for a new container, then once per interval. A
server that is too busy to answer in time keeps the proof that it gave earlier, for a while, for a
queue of users is no outage.

Invariant: never raises, and never takes more time or reads more bytes than the constants below,
whatever the pod answers: a pod may run a user's own image.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from workspace_operator.pod_http import PodHttp
from workspace_operator.snapshot import ModelAnswer, Pod
from workspace_operator.snapshot.pods import FETCH_WEIGHTS

PORT: Final = 5000
READY_SECONDS: Final = 3.0
TOKEN_SECONDS: Final = 10.0
PROOF_LASTS_SECONDS: Final = 300.0
MAX_TEXT: Final = 1_024
TOO_MANY_REQUESTS: Final = 429
FIRST_ERROR: Final = 400

Proof = tuple[str, int]


@dataclass(slots=True, kw_only=True)
class ModelProbe:
    """Ask pods, and remember when each container last generated a token."""

    interval_seconds: float
    port: int = PORT
    monotonic: Callable[[], float] = time.monotonic
    _proven_at: dict[Proof, float] = field(default_factory=dict)
    http: PodHttp = field(default_factory=PodHttp)

    async def answers(self, pods: Iterable[Pod]) -> dict[str, ModelAnswer]:
        """Ask all running pods at the same time; the answers carry the pods' names."""
        self._forget_old_proofs()
        asked = [pod for pod in pods if _speaks(pod) and pod.ip and not pod.deleting]
        given = await asyncio.gather(*(self._ask(pod) for pod in asked))
        return {pod.name: answer for pod, answer in zip(asked, given, strict=True)}

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _ask(self, pod: Pod) -> ModelAnswer:
        status, body = await self._exchange("GET", pod, "/ready", READY_SECONDS)
        if status is None:
            return ModelAnswer(error=f"no answer from {pod.ip}:{self.port}: {body}")
        answer = _parse(body)
        if not answer.phase:
            return ModelAnswer(error=f"GET /ready answered {status} without a phase")
        if not answer.ready or status >= FIRST_ERROR:
            self._proven_at.pop(_container(pod), None)
            return replace(answer, ready=False)
        return await self._prove(pod, answer)

    async def _prove(self, pod: Pod, answer: ModelAnswer) -> ModelAnswer:
        container, now = _container(pod), self.monotonic()
        proven_at = self._proven_at.get(container)
        if proven_at is not None and now - proven_at < self.interval_seconds:
            return replace(answer, token_generated=True)
        request = {"model": answer.model_name, "prompt": "Hello", "max_tokens": 1}
        status, body = await self._exchange(
            "POST", pod, "/v1/completions", TOKEN_SECONDS, json=request
        )
        if status is not None and status < FIRST_ERROR:
            self._proven_at[container] = now
            return replace(answer, token_generated=True)
        busy = status is None or status == TOO_MANY_REQUESTS
        if busy and proven_at is not None and now - proven_at < PROOF_LASTS_SECONDS:
            return replace(answer, token_generated=True)
        self._proven_at.pop(container, None)
        why = body if status is None else f"HTTP {status}"
        return replace(answer, error=f"POST /v1/completions gave no token: {why}")

    def _forget_old_proofs(self) -> None:
        oldest = self.monotonic() - max(PROOF_LASTS_SECONDS, self.interval_seconds)
        self._proven_at = {key: at for key, at in self._proven_at.items() if at >= oldest}

    async def _exchange(
        self, method: str, pod: Pod, path: str, seconds: float, **body: object
    ) -> tuple[int | None, str]:
        """Return status and body, or None and the reason why there is no answer."""
        target = f"{self.port}{path}"
        return await self.http.exchange(method, pod.ip, target, seconds, **body)


def by_readiness(pods: Iterable[Pod]) -> dict[str, ModelAnswer]:
    """Take the pods' own readiness for an answer, where the operator cannot or must not ask."""
    return {
        pod.name: ModelAnswer(
            ready=pod.ready, phase="ready" if pod.ready else "starting", token_generated=pod.ready
        )
        for pod in pods
        if pod.running
    }


def _speaks(pod: Pod) -> bool:
    """Say whether a container runs that speaks the contract."""
    return pod.running or pod.fetching == FETCH_WEIGHTS


def _container(pod: Pod) -> Proof:
    return pod.uid, pod.restarts


def _parse(body: str) -> ModelAnswer:
    """Read the contract's fields; whatever is missing or of another type stays empty."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ModelAnswer()
    model, progress = _map(content, "model"), _map(content, "progress")
    return ModelAnswer(
        ready=_map_value(content, "ready") is True,
        phase=_text(content, "phase"),
        bytes_loaded=_number(progress, "bytes_loaded"),
        bytes_total=_number(progress, "bytes_total"),
        bytes_per_second=_number(progress, "bytes_per_second"),
        seconds={
            _cut(name): float(value)
            for name, value in list(_map(content, "seconds").items())[:16]
            if isinstance(value, int | float) and 0 <= value < float("inf")
        },
        model_name=_text(model, "name"),
        model_revision=_text(model, "revision"),
        model_digest=_text(model, "digest"),
        error=_text(content, "error"),
    )


def _map_value(content: object, key: str) -> object:
    return content.get(key) if isinstance(content, dict) else None


def _map(content: object, key: str) -> dict[str, Any]:
    value = _map_value(content, key)
    return value if isinstance(value, dict) else {}


def _text(content: object, key: str) -> str:
    value = _map_value(content, key)
    return _cut(value) if isinstance(value, str) else ""


def _cut(value: str) -> str:
    return value[:MAX_TEXT]


def _number(content: object, key: str) -> int:
    value = _map_value(content, key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
