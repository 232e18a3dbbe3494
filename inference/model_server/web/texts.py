"""
Route what turns text into tokens and back, for callers who count before they ask.

    POST /tokenize      a text, or a conversation as the model would read it
    POST /detokenize    token ids

The shapes are vLLM's. Must not import torch or transformers.
"""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import FailFast, Field

from model_server.api import errors
from model_server.api.encoding import adapter_asked, encode_messages, encode_text
from model_server.api.protocol import Message, parse
from model_server.api.service import Service
from model_server.api.strict_body import Strict, only
from model_server.api.tool_request import Tools
from model_server.web.bodies import read_body


class TokenizeRequest(Strict):
    """Ask for the tokens of a text or of a conversation."""

    model: str | None = Field(default=None, max_length=256)
    prompt: str | None = None
    messages: Annotated[list[Message] | None, Field(min_length=1), FailFast()] = None
    tools: Tools = None
    add_special_tokens: bool = True
    add_generation_prompt: Annotated[bool | None, only([True])] = None
    return_token_strs: Annotated[bool | None, only([False])] = None


class DetokenizeRequest(Strict):
    """Ask for the text of tokens."""

    model: str | None = Field(default=None, max_length=256)
    tokens: Annotated[list[Annotated[int, Field(ge=0)]], FailFast()]


def add_texts(app: FastAPI, service: Service) -> None:
    """Add the two routes."""

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(TokenizeRequest, await read_body(request))
        adapter_asked(service.names, asked.model)
        if (asked.prompt is None) == (asked.messages is None):
            message = "prompt: give either a prompt or messages"
            raise errors.invalid_value("prompt", message)
        if asked.tools and asked.messages is None:
            raise errors.invalid_value("tools", "tools: they go with messages only")
        if asked.messages is not None:
            ids = await encode_messages(model, asked.messages, asked.tools or ())
        else:
            ids = await encode_text(model, asked.prompt or "")
            ids = ids if asked.add_special_tokens else ids[1:]
        longest = model.engine.longest_request
        return JSONResponse({"count": len(ids), "max_model_len": longest, "tokens": ids})

    @app.post("/detokenize")
    async def detokenize(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(DetokenizeRequest, await read_body(request))
        adapter_asked(service.names, asked.model)
        longest, known = model.engine.longest_request, model.engine.vocabulary_size
        if len(asked.tokens) > longest:
            raise errors.prompt_exceeds(param="tokens", limit=longest, at_least=len(asked.tokens))
        if any(token >= known for token in asked.tokens):
            raise errors.invalid_value("tokens", f"tokens: must be token ids below {known}")
        text = await asyncio.to_thread(model.tokenizer.decode, asked.tokens)
        return JSONResponse({"prompt": text})
