"""
Mistral's own tokenizers, and the same vocabularies in the form that this server reads.

The package mistral-common carries the SentencePiece models; the hub's tokenizer.json is made of
them as the conversion of a raw checkpoint does it.
"""

from pathlib import Path
from typing import Any

import mistral_common
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from model_presets import sentence_pieces

DATA = Path(mistral_common.__file__).parent / "data"
MODELS = {
    "v1": DATA / "tokenizer.model.v1",
    "v3": DATA / "mistral_instruct_tokenizer_240323.model.v3",
}
Mistral = MistralTokenizer[Any, Any, Any, Any, Any]
ROLES: dict[str, Any] = {
    "system": SystemMessage,
    "user": UserMessage,
    "assistant": AssistantMessage,
}


def write_tokenizer(version: str, directory: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json as the hub has them."""
    sentence_pieces.write_tokenizer(MODELS[version], directory)


def reference(version: str) -> Mistral:
    """Return Mistral's own tokenizer."""
    return MistralTokenizer.from_file(str(MODELS[version]))


def reference_prompt(tokenizer: Mistral, turns: list[dict[str, str]]) -> list[int]:
    """Encode a conversation the way Mistral does."""
    messages = [ROLES[turn["role"]](content=turn["content"]) for turn in turns]
    request: Any = ChatCompletionRequest(messages=messages)
    return list(tokenizer.encode_chat_completion(request).tokens)
