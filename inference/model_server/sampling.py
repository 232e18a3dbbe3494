"""
Draw the next token of each sequence from its logits.

Every row is drawn on its own: from its own settings, its own seed and its own position, never from
a shared stream of random numbers. So an answer with a seed does not change with what else runs,
and a sequence that was preempted goes on with the very draw it would have made.

The order of the filters is temperature, top-k, top-p, as in transformers; among tokens of equal
probability the lower id comes first. Greedy rows (temperature 0) are exact: they are an argmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.request import SamplingParameters

GREEDY_BELOW = 1e-5  # a temperature so low has one token left in float32 anyway
CANDIDATES = 256  # sorted first; the whole vocabulary only where a row needs more
_MASK = 2**64 - 1


class NotFinite(ArithmeticError):
    """Report logits that are NaN or infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Say how one row is drawn."""

    sampling: SamplingParameters
    position: int  # of the token to be drawn


def sample(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """
    Draw one token per row.

    Args:
        logits: (B, V), in any float dtype.
        draws: B of them.

    Returns:
        B token ids.

    Raises:
        NotFinite: If a row has a largest logit that is no number: no token can be drawn from it.
    """
    best, greedy = logits.max(dim=-1)
    if not bool(best.isfinite().all()):
        raise NotFinite("the model computed logits that are not finite")
    tokens = greedy.tolist()
    random = [i for i, draw in enumerate(draws) if draw.sampling.temperature >= GREEDY_BELOW]
    whole = [i for i in random if not _is_filtered(draws[i].sampling)]
    filtered = [i for i in random if _is_filtered(draws[i].sampling)]
    for rows, draw_rows in ((whole, _draw_whole), (filtered, _draw_filtered)):
        if rows:
            drawn = draw_rows(logits[rows].float(), [draws[i] for i in rows])
            for row, token in zip(rows, drawn.tolist(), strict=True):
                tokens[row] = token
    return tokens


def uniform(seed: int, position: int) -> float:
    """
    Make the random number of one draw, at least 0 and below 1, from nothing but its arguments.

    Two rounds of SplitMix64, over the seed and then over the position.
    Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    mixed = _split_mix(_split_mix(seed & _MASK) ^ (position & _MASK))
    return (mixed >> 11) / 2**53


def _split_mix(state: int) -> int:
    mixed = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def _is_filtered(sampling: SamplingParameters) -> bool:
    return sampling.top_k > 0 or sampling.top_p < 1


def _draw_whole(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Draw from all tokens: (B, V) -> (B,)."""
    return _invert(_scaled(logits, draws).exp(), draws)


def _draw_filtered(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Draw from the likeliest tokens: (B, V) -> (B,)."""
    weights = _scaled(logits, draws).exp()  # (B, V)
    total = weights.double().sum(dim=-1)  # (B,)
    vocabulary = weights.shape[1]
    most = max(draw.sampling.top_k for draw in draws)
    count = min(vocabulary, max(CANDIDATES, most + 1))
    ordered, ids = _likeliest(weights, count)
    kept = _keep(ordered, total, draws)
    least = torch.where(kept > 0, kept, torch.inf).amin(dim=-1)
    if count < vocabulary and bool((least <= ordered[:, -1]).any()):
        ordered, ids = _likeliest(weights, vocabulary)
        kept = _keep(ordered, total, draws)
    return ids.gather(1, _invert(kept, draws)[:, None])[:, 0]


def _likeliest(weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Order the largest weights, and equal ones by token id: (B, V) -> (B, count) twice."""
    if count < weights.shape[1]:
        ids = weights.topk(count, dim=-1).indices.sort(dim=-1).values
        ordered, order = weights.gather(1, ids).sort(dim=-1, descending=True, stable=True)
        return ordered, ids.gather(1, order)
    ordered, ids = weights.sort(dim=-1, descending=True, stable=True)
    return ordered, ids


def _keep(ordered: Tensor, total: Tensor, draws: Sequence[Draw]) -> Tensor:
    """
    Set to 0 the weights that top-k or top-p leave out.

    Example: weights 8 4 2 1 1, top-k 3, top-p 0.8: the first three weigh 14, of which 0.8 are 11.2;
    a token stays if those before it weigh less, so 8 and 4 stay.

    Args:
        ordered: (B, N) weights, the largest first.
        total: (B,) weight of the whole vocabulary.
        draws: B of them.
    """
    count = ordered.shape[1]
    most = torch.tensor(
        [draw.sampling.top_k or count for draw in draws], device=ordered.device
    )  # (B,)
    ranks = torch.arange(count, device=ordered.device)
    kept = torch.where(ranks[None] < most[:, None], ordered, 0).double()
    limited = torch.tensor([draw.sampling.top_k > 0 for draw in draws], device=ordered.device)
    mass = torch.where(limited, kept.sum(dim=-1), total)  # (B,)
    parts = mass.new_tensor([draw.sampling.top_p for draw in draws])
    before = kept.cumsum(dim=-1) - kept
    whole = (parts >= 1)[:, None]  # rounding must not cut the tail of a row without top-p
    return torch.where(whole | (before < (mass * parts)[:, None]), kept, 0)


def _scaled(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Divide by the temperatures, with the largest at 0: (B, V) -> (B, V)."""
    temperatures = logits.new_tensor([draw.sampling.temperature for draw in draws])
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperatures[:, None]


def _invert(weights: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Find where the cumulative weight passes a random part of the whole: (B, N) -> (B,)."""
    cumulative = weights.double().cumsum(dim=-1)
    whole = cumulative[:, -1]
    # The engine has given every request a seed; 0 stands for none.
    parts = [uniform(draw.sampling.seed or 0, draw.position) for draw in draws]
    targets = whole * cumulative.new_tensor(parts)
    below = torch.minimum(targets, torch.nextafter(whole, torch.zeros_like(whole)))
    return torch.searchsorted(cumulative, below[:, None], right=True)[:, 0]
