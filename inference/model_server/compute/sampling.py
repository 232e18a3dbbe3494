"""
Draw the next token of each sequence from its logits.

Every row is drawn on its own: from its own settings, its own seed and its own position, never from
a shared stream of random numbers. So an answer with a seed does not change with what else runs,
and a sequence that was preempted goes on with the very draw it would have made.

Logits are changed first (adjust.py). The order of the filters is temperature, top-k, top-p, min-p,
as in transformers; among tokens of equal probability the lower id comes first. Greedy rows
(temperature 0) are exact: they are an argmax. Log probabilities are the model's own: of the logits
before any change, filter or temperature.

A row that is not finite fails alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model_server.compute.adjust import Draw, adjust
from model_server.engine.batch import Drawn, Failed
from model_server.engine.request import SamplingParameters, TokenLogprobs

GREEDY_BELOW = 1e-5  # a temperature so low has one token left in float32 anyway
CANDIDATES = 256  # sorted first; the whole vocabulary only where a row needs more
_MASK = 2**64 - 1


NOT_FINITE = "the model computed logits that are not finite"


def sample(logits: Tensor, draws: Sequence[Draw]) -> list[Drawn | Failed]:
    """
    Draw one token per row.

    Args:
        logits: (B, V), in any float dtype.
        draws: B of them.

    Returns:
        B outcomes.
    """
    adjusted, failures = adjust(logits, draws)
    best, greedy = adjusted.max(dim=-1)
    values = best.tolist()
    if not all(map(math.isfinite, values)):
        for row, value in enumerate(values):
            if not math.isfinite(value):
                failures.setdefault(row, NOT_FINITE)
    tokens = greedy.tolist()
    random = [
        row
        for row, draw in enumerate(draws)
        if draw.sampling.temperature >= GREEDY_BELOW and row not in failures
    ]
    whole = [i for i in random if not _is_filtered(draws[i].sampling)]
    filtered = [i for i in random if _is_filtered(draws[i].sampling)]
    for rows, draw_rows in ((whole, _draw_whole), (filtered, _draw_filtered)):
        if rows:
            drawn = draw_rows(adjusted[rows].float(), [draws[i] for i in rows])
            for row, token in zip(rows, drawn.tolist(), strict=True):
                tokens[row] = token
    logprobs = _logprobs(logits, draws, tokens)
    return [
        Failed(error=failures[row])
        if row in failures
        else Drawn(token_id=token, logprobs=logprobs.get(row))
        for row, token in enumerate(tokens)
    ]


def _logprobs(
    logits: Tensor, draws: Sequence[Draw], tokens: Sequence[int]
) -> dict[int, TokenLogprobs]:
    """Look up the log probabilities of the rows that ask for them."""
    wanted = {
        row: draw.sampling.logprobs
        for row, draw in enumerate(draws)
        if draw.sampling.logprobs is not None
    }
    if not wanted:
        return {}
    rows = list(wanted)
    all_of_row = logits[rows].float().log_softmax(dim=-1)  # (R, V)
    chosen = torch.tensor([tokens[row] for row in rows], device=logits.device)
    own = all_of_row.gather(1, chosen[:, None])[:, 0].tolist()
    top = all_of_row.topk(min(max(wanted.values()), logits.shape[1]), dim=-1)
    return {
        row: TokenLogprobs(logprob=logprob, top=tuple(zip(ids, values, strict=True))[: wanted[row]])
        for row, logprob, ids, values in zip(
            rows, own, top.indices.tolist(), top.values.tolist(), strict=True
        )
    }


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
    return sampling.top_k > 0 or sampling.top_p < 1 or sampling.min_p > 0


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
    Set to 0 the weights that top-k, top-p or min-p leave out.

    Example: weights 8 4 2 1 1, top-k 3, top-p 0.8: the first three weigh 14, of which 0.8 are 11.2;
    a token stays if those before it weigh less, so 8 and 4 stay. With min-p 0.6 a weight of at
    least 4.8 stays, which is 8 alone.

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
    kept = torch.where(whole | (before < (mass * parts)[:, None]), kept, 0)
    least = kept.new_tensor([draw.sampling.min_p for draw in draws]) * ordered[:, 0]
    return torch.where(kept >= least[:, None], kept, 0)


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
