"""
Ask a pod that tunes how far it is.

No oftener than every five seconds: a person reads it, and each answer is a write of the status.

Invariant: never raises; what cannot be asked is an answer without a phase.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from workspace_operator.pod_http import PodHttp
from workspace_operator.snapshot import Pod, TrainingAnswer
from workspace_operator.snapshot.jobs import parse_training_answer

PORT: Final = 5000
STATUS_SECONDS: Final = 3.0
INTERVAL_SECONDS: Final = 5.0
FIRST_ERROR: Final = 400


@dataclass(slots=True, kw_only=True)
class TrainingProbe:
    """Ask pods, and keep each answer for a while."""

    port: int = PORT
    monotonic: Callable[[], float] = time.monotonic
    http: PodHttp = field(default_factory=PodHttp)
    _answers: dict[str, tuple[float, TrainingAnswer]] = field(default_factory=dict)

    async def answers(self, pods: Iterable[Pod]) -> dict[str, TrainingAnswer]:
        """Ask all running pods at the same time; the answers carry the pods' names."""
        oldest = self.monotonic() - INTERVAL_SECONDS
        self._answers = {uid: each for uid, each in self._answers.items() if each[0] > oldest}
        asked = [pod for pod in pods if pod.running and pod.ip and not pod.deleting]
        given = await asyncio.gather(*map(self._ask, asked))
        return {pod.name: answer for pod, answer in zip(asked, given, strict=True)}

    async def _ask(self, pod: Pod) -> TrainingAnswer:
        known = self._answers.get(pod.uid)
        if known is not None:
            return known[1]
        target = f"{self.port}/status"
        status, body = await self.http.exchange("GET", pod.ip, target, STATUS_SECONDS)
        if status is None or status >= FIRST_ERROR:
            return TrainingAnswer()
        answer = parse_training_answer(body)
        self._answers[pod.uid] = (self.monotonic(), answer)
        return answer
