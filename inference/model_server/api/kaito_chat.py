"""
Understand the request that KAITO's server took until its version 0.8, so that old clients go on.

`POST /chat` with a `prompt` continues it and answers `{"Result": "..."}`, prompt first unless
`return_full_text` is false; with `messages` it answers the conversation. `generate_kwargs` has the
names and defaults of transformers' `generate`: `max_length` counts the prompt too. What has no
equal here is refused by its name, as everywhere.

Source: kaito-project/kaito, presets/workspace/inference/text-generation/inference_api.py at v0.8.1.

Pure. Must not import torch, transformers, or anything that answers requests.
"""

from typing import Annotated

from pydantic import FailFast, Field

from model_server.api import errors
from model_server.api.protocol import CompletionRequest, Message
from model_server.api.sampling_fields import MAX_INTEGER
from model_server.api.strict_body import Strict, only

MAX_LENGTH = 200
TOP_K = 10


class GenerateArguments(Strict):
    """Hold what is passed on to the sampler."""

    max_length: int = Field(default=MAX_LENGTH, ge=1, le=MAX_INTEGER)
    max_new_tokens: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    do_sample: bool = True
    temperature: float = Field(default=1.0, ge=0, le=2, allow_inf_nan=False)
    top_k: int = Field(default=TOP_K, ge=0, le=MAX_INTEGER)
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)

    min_length: Annotated[int | None, only([0])] = None
    early_stopping: Annotated[bool | None, only([False])] = None
    num_beams: Annotated[int | None, only([1])] = None
    typical_p: Annotated[float | None, only([1, 1.0])] = None
    repetition_penalty: Annotated[float | None, only([1, 1.0])] = None
    # Ids that the model's own files give; a caller's would be the same or wrong.
    pad_token_id: int | None = Field(default=None, ge=0)
    eos_token_id: int | None = Field(default=None, ge=0)


class KaitoChat(Strict):
    """Ask for a continuation, or for the next turn of a conversation."""

    prompt: str | None = None
    messages: Annotated[list[Message] | None, Field(min_length=1), FailFast()] = None
    return_full_text: bool = True
    clean_up_tokenization_spaces: bool | None = None  # no Mistral tokenizer has such spaces
    prefix: str | None = None
    handle_long_generation: Annotated[str | None, only([])] = None
    generate_kwargs: GenerateArguments = GenerateArguments()

    @property
    def text(self) -> str:
        """
        Return the text to continue.

        Raises:
            ApiError: 400, in KAITO's words, if there is neither text nor conversation.
        """
        if self.prompt is None:
            message = "Text generation parameter prompt required"
            raise errors.invalid_value("prompt", message, status=400)
        return (self.prefix or "") + self.prompt

    @property
    def echoed(self) -> str:
        """Return the text that opens the answer."""
        return (self.prompt or "") if self.messages is None and self.return_full_text else ""


def completion_of(asked: KaitoChat, prompt_ids: list[int]) -> CompletionRequest:
    """
    Say the same in OpenAI's words.

    Raises:
        ApiError: 400 if the prompt alone is as long as prompt and answer together may be.
    """
    wanted = asked.generate_kwargs
    room = wanted.max_length - len(prompt_ids)
    if wanted.max_new_tokens is None and room < 1:
        raise errors.invalid_value(
            "generate_kwargs.max_length",
            f"generate_kwargs.max_length: counts prompt and answer, {wanted.max_length} tokens, "
            f"but the prompt has {len(prompt_ids)}: raise it, or give max_new_tokens",
            status=400,
        )
    return CompletionRequest(
        prompt=tuple(prompt_ids),
        max_tokens=wanted.max_new_tokens or room,
        temperature=wanted.temperature if wanted.do_sample else 0.0,
        top_k=wanted.top_k,
        top_p=wanted.top_p,
    )
