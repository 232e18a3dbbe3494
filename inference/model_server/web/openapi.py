"""
Describe the HTTP API to programs, from the models that parse it.

Routes take their bodies raw, to bound and to refuse them in one way, so the framework cannot know
what is in them; the document is made here from the same classes. What a validator accepts beside
the type of its field (one string for a list of stop strings) is said in the fields' own schemas.

Must not import torch or transformers.
"""

from typing import Any

from pydantic import BaseModel

from model_server import __version__
from model_server.api.kaito_chat import KaitoChat
from model_server.api.protocol import ChatRequest, CompletionRequest
from model_server.web.texts import DetokenizeRequest, TokenizeRequest

BODIES: dict[str, tuple[type[BaseModel], str]] = {
    "/v1/chat/completions": (ChatRequest, "Answer a conversation."),
    "/v1/completions": (CompletionRequest, "Continue a text."),
    "/tokenize": (TokenizeRequest, "Turn text into tokens."),
    "/detokenize": (DetokenizeRequest, "Turn tokens into text."),
    "/chat": (KaitoChat, "Answer as KAITO's old server did."),
}
READS = {
    "/v1/models": "List the names of the model.",
    "/version": "Show the server's version.",
    "/": "Say that the server runs, as KAITO's old server did.",
    "/health": "Tell whether the process can still come to serve.",
    "/ready": "Tell whether requests are taken, and how far the start is.",
    "/metrics": "Show metrics to Prometheus.",
}
REFUSALS = (400, 401, 404, 405, 413, 415, 422, 429, 431, 500, 503, 504)


def document(model: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server of this model."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {
        path: {"get": {"summary": text, "responses": _responses()}} for path, text in READS.items()
    }
    for path, (kind, text) in BODIES.items():
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
        body = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
        request = {"required": True, "content": {"application/json": body}}
        operation = {"summary": text, "requestBody": request, "responses": _responses()}
        paths[path] = {"post": operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Atelier model server: {model}", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _responses() -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refusals = {str(status): {"description": "A refusal.", "content": error} for status in REFUSALS}
    return {"200": {"description": "The answer."}, **refusals}


_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_FIELDS = {"message": _TEXT, "type": _TEXT, "param": _TEXT_OR_NULL, "code": _TEXT_OR_NULL}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "object", "required": list(_FIELDS), "properties": _FIELDS},
    },
}
