"""
Write down tokens and their probabilities as the API shows them.

A token's text is the bytes that its vocabulary entry stands for; half a character reads as U+FFFD,
and the bytes are shown beside it. The token that opens an answer loses the space before it, as the
answer's text does, so that the tokens join to the text.

Pure, given functions that decode. Must not import torch, transformers, asyncio or time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from model_server.engine.request import TokenOutput
from model_server.text.detokenize import Decode

LEAST_LOGPROB = -9999.0  # what OpenAI shows for tokens that cannot come; JSON has no infinity


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """Hold one token, its probability, and the likeliest in its place."""

    data: bytes
    logprob: float
    top: tuple["ShownToken", ...] = ()

    @property
    def text(self) -> str:
        """The token as text."""
        return self.data.decode("utf-8", errors="replace")


class TokenShower:
    """Write down the tokens of one answer as they come."""

    def __init__(self, decode: Decode, token_bytes: Callable[[int], bytes]) -> None:
        """Start before the first token."""
        self._decode = decode
        self._token_bytes = token_bytes
        self._is_first = True

    def show(self, output: TokenOutput) -> tuple[ShownToken, ...]:
        """Write down the tokens of an output that belong to the text."""
        shown = []
        for token_id, logprobs in zip(output.text_ids, output.logprobs, strict=False):
            top = tuple(self._one(other, logprob) for other, logprob in logprobs.top)
            own = self._one(token_id, logprobs.logprob)
            shown.append(ShownToken(data=own.data, logprob=own.logprob, top=top))
            self._is_first = False
        return tuple(shown)

    def _one(self, token_id: int, logprob: float) -> ShownToken:
        data = self._token_bytes(token_id)
        if self._is_first and data[:1] == b" " and not self._decode([token_id]).startswith(" "):
            data = data[1:]
        return ShownToken(data=data, logprob=max(logprob, LEAST_LOGPROB))


def chat_logprobs(tokens: Iterable[ShownToken]) -> dict[str, Any]:
    """Write the `logprobs` of a chat's choice."""
    content = [
        {**_chat_token(token), "top_logprobs": [_chat_token(other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Iterable[ShownToken], offset: int) -> dict[str, Any]:
    """
    Write the `logprobs` of a completion's choice.

    Args:
        tokens: The tokens to show.
        offset: Characters of the choice's text before them.
    """
    listed = list(tokens)
    offsets = []
    for token in listed:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token in listed],
        "token_logprobs": [token.logprob for token in listed],
        "top_logprobs": [{other.text: other.logprob for other in token.top} for token in listed],
        "text_offset": offsets,
    }


def _chat_token(token: ShownToken) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
