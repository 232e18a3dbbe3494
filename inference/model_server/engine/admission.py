"""
Look at a request once more before it is queued: what only the model's own numbers can tell.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

import secrets
from dataclasses import replace

from model_server.engine.request import Request, require


def check_adapter(request: Request, known: frozenset[str]) -> None:
    """
    Compare the adapter with those that are loaded.

    Raises:
        InvalidRequest: If it is none of them.
    """
    there = not request.adapter or request.adapter in known
    require("adapter", request.adapter, there, f"must be one of {sorted(known)}, or none")


def check_tokens(request: Request, size: int) -> None:
    """
    Compare every token id with the width of the logits.

    Raises:
        InvalidRequest: If one lies beyond.
    """
    sampling = request.sampling
    for field, ids in (
        ("prompt_ids", request.prompt_ids),
        ("logit_bias", [token for token, _ in sampling.logit_bias]),
        ("stop_token_ids", sampling.stop_token_ids),
    ):
        highest = max(ids, default=0)
        require(field, highest, highest < size, f"must be token ids below {size}")


def completed(request: Request, eos_token_ids: frozenset[int]) -> Request:
    """Add what the request leaves to the engine: a seed, and which tokens `min_tokens` forbids."""
    sampling = request.sampling
    if sampling.seed is None:
        sampling = replace(sampling, seed=secrets.randbits(63))
    if sampling.min_tokens and not sampling.ignore_eos:
        sampling = replace(sampling, stop_token_ids=sampling.stop_token_ids | eos_token_ids)
    return request if sampling is request.sampling else replace(request, sampling=sampling)
