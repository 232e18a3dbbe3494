"""
Make the same work for every engine: prompts from a seed, arrivals from a seed. Pure.

A prompt is a text and its token ids, of exactly the wanted length: engines that take ids get the
ids, engines that take only text get the text, and both compute the same. Must not import torch.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Encode = Callable[[str], Sequence[int]]
PIECE = " a"  # lengthens a text by a token or so


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Hold a text and what it is to the model."""

    text: str
    ids: tuple[int, ...]


def make_prompts(
    encode: Encode, words: Sequence[str], *, count: int, length: int, seed: int
) -> list[Prompt]:
    """
    Draw texts of words until each has exactly so many tokens.

    Raises:
        ValueError: If no text of these words has that length.
    """
    draws = random.Random(seed)  # noqa: S311 - no secret
    return [_prompt(encode, words, length, draws) for _ in range(count)]


def _prompt(encode: Encode, words: Sequence[str], length: int, draws: random.Random) -> Prompt:
    for _ in range(100):
        chosen = draws.choices(words, k=length)
        low, high = 1, length
        while low < high:  # the most words that still fit
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high)
                if len(encode(" ".join(chosen[:middle]))) <= length
                else (low, middle - 1)
            )
        text = " ".join(chosen[:low])
        while len(encode(text)) < length:
            text += PIECE
        ids = tuple(encode(text))
        if len(ids) == length:
            return Prompt(text=text, ids=ids)
    raise ValueError(f"no text of {len(words)} words has {length} tokens")


def poisson_arrivals(*, per_second: float, seconds: float, seed: int) -> list[float]:
    """Draw the moments at which an open loop sends, whatever became of the others."""
    draws = random.Random(seed)  # noqa: S311 - no secret
    moments, now = [], 0.0
    while (now := now + draws.expovariate(per_second)) < seconds:
        moments.append(now)
    return moments


def lognormal_length(draws: random.Random, *, mean: float, least: int, most: int) -> int:
    """Draw a length as chats have them: many short, few long; sigma 1."""
    return max(least, min(most, round(draws.lognormvariate(math.log(mean) - 0.5, 1.0))))
