"""
Change logits as requests ask, before a token is drawn: penalties, biases, forbidden tokens.

    repetition penalty   tokens of prompt and answer: positive logits / p, negative ones * p
    presence, frequency  tokens of the answer so far: logit - presence - count * frequency
    logit_bias           logit + bias
    min_tokens           tokens that would end the answer cannot be drawn
    constraint           only the tokens that its grammar allows can be drawn

The first three add up in this order, as in vLLM; the formula of the second is OpenAI's. Rows that
ask for nothing are left as they are, and a batch of such rows costs nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.engine.history import History
from model_server.engine.request import ConstraintBroken, SamplingParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Say how one row is drawn."""

    sampling: SamplingParameters
    history: History

    @property
    def position(self) -> int:
        """Position of the token to be drawn."""
        return len(self.history.tokens)


def adjust(logits: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, dict[int, str]]:
    """
    Apply what the rows ask for.

    Args:
        logits: (B, V); not changed.
        draws: B of them.

    Returns:
        (B, V), the argument itself where nothing is asked, and the rows that cannot go on with why.
    """
    if not any(map(_asks, draws)):
        return logits, {}
    adjusted = logits.float().clone()
    _repetition(adjusted, draws)
    _additive(adjusted, draws)
    return adjusted, _constraints(adjusted, draws)


def _asks(draw: Draw) -> bool:
    constraint = draw.history.constraint
    return draw.sampling.changes_logits or (constraint is not None and not constraint.is_free)


def _repetition(logits: Tensor, draws: Sequence[Draw]) -> None:
    rows: list[int] = []
    columns: list[int] = []
    factors: list[float] = []
    for row, draw in enumerate(draws):
        penalty = draw.sampling.repetition_penalty
        if penalty != 1:
            seen = draw.history.prompt_tokens | draw.history.counts.keys()
            rows += [row] * len(seen)
            columns += seen
            factors += [penalty] * len(seen)
    if rows:
        cells = _cells(rows, columns, logits.device)
        factor = logits.new_tensor(factors)
        old = logits[cells]
        logits[cells] = torch.where(old > 0, old / factor, old * factor)


def _additive(logits: Tensor, draws: Sequence[Draw]) -> None:
    rows, columns, amounts = [], [], []
    for row, draw in enumerate(draws):
        for token, amount in _amounts(draw):
            rows.append(row)
            columns.append(token)
            amounts.append(amount)
    if rows:
        cells = _cells(rows, columns, logits.device)
        logits.index_put_(cells, logits.new_tensor(amounts), accumulate=True)


def _amounts(draw: Draw) -> Iterator[tuple[int, float]]:
    sampling, history = draw.sampling, draw.history
    presence, frequency = sampling.presence_penalty, sampling.frequency_penalty
    if presence or frequency:
        for token, count in history.counts.items():
            yield token, -(presence + count * frequency)
    yield from sampling.logit_bias
    if history.answer_length < sampling.min_tokens:
        for token in sampling.stop_token_ids:
            yield token, -torch.inf


def _constraints(logits: Tensor, draws: Sequence[Draw]) -> dict[int, str]:
    broken = {}
    for row, draw in enumerate(draws):
        constraint = draw.history.constraint
        if constraint is not None and not constraint.is_free:
            try:
                mask = constraint.allowed_tokens()
            except ConstraintBroken as error:
                broken[row] = str(error)
            else:
                forbidden = ~_bits(mask, logits.shape[1]).to(logits.device)
                logits[row].masked_fill_(forbidden, -torch.inf)
    return broken


def _bits(mask: bytes, count: int) -> Tensor:
    """Unpack a bit per token, the lowest first: (count,) bool; tokens beyond the mask are False."""
    packed = torch.frombuffer(bytearray(mask), dtype=torch.uint8)
    bits = (packed[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    flags = bits.flatten()[:count].bool()
    return torch.cat([flags, flags.new_zeros(count - len(flags))])


def _cells(
    rows: Iterable[int], columns: Iterable[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(rows, dtype=torch.long, device=device),
        torch.tensor(columns, dtype=torch.long, device=device),
    )
