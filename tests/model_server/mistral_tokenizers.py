"""
Mistral's own tokenizers, and the same vocabularies in the form that this server reads.

The package mistral-common carries the SentencePiece models. The hub's tokenizer.json is made of
them by writing out the merges that a SentencePiece vocabulary holds only implicitly: a pair may
merge where the joined piece exists, and the piece of the highest score merges first (runs of spaces
come last).
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
from sentencepiece import SentencePieceProcessor
from transformers import LlamaTokenizer

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
    pieces = SentencePieceProcessor(model_file=str(MODELS[version]))
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    ranked = []
    controls = []
    for piece, id_ in vocabulary.items():
        if pieces.is_control(id_) and piece not in {"<s>", "</s>"}:
            controls.append(piece)
        if pieces.is_control(id_) or pieces.is_byte(id_) or pieces.is_unknown(id_):
            continue
        for left, right in ((piece[:cut], piece[cut:]) for cut in range(1, len(piece))):
            if left in vocabulary and right in vocabulary:
                ranked.append((pieces.get_score(id_), len(left), len(right), (left, right)))
    ranked.sort(key=lambda entry: entry[:3], reverse=True)
    merges = [pair for *_, pair in ranked]
    tokenizer = LlamaTokenizer(
        vocab=vocabulary, merges=merges, additional_special_tokens=controls or None
    )
    tokenizer.save_pretrained(directory)


def reference(version: str) -> Mistral:
    """Return Mistral's own tokenizer."""
    return MistralTokenizer.from_file(str(MODELS[version]))


def reference_prompt(tokenizer: Mistral, turns: list[dict[str, str]]) -> list[int]:
    """Encode a conversation the way Mistral does."""
    messages = [ROLES[turn["role"]](content=turn["content"]) for turn in turns]
    request: Any = ChatCompletionRequest(messages=messages)
    return list(tokenizer.encode_chat_completion(request).tokens)
