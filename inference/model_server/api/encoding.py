"""
Turn a parsed request into tokens for the engine, within the context.

Must not import torch or transformers.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from model_server.api import errors
from model_server.api.kaito_chat import KaitoChat
from model_server.api.model_names import BASE, ModelNames
from model_server.api.protocol import ChatRequest, CompletionRequest, Message
from model_server.api.service import ServedModel
from model_server.api.structure import constraint_of
from model_server.api.tool_request import ToolDefinition
from model_server.engine.request import Request, SamplingParameters
from model_server.text.chat_prompt import InvalidConversation, NoChatTemplate, PromptTooLong
from model_server.text.tool_form import ToolForm, UnknownForm

NEVER = -1e4  # added to a logit: more than any model can make up for


def adapter_asked(names: ModelNames, asked: str | None) -> str:
    """
    Return the adapter that a request's model means; no name means the base.

    Raises:
        ApiError: 404 with the known names.
    """
    adapter = BASE if asked is None else names.adapter_of(asked)
    if adapter is None:
        raise errors.model_not_found(names.all)
    return adapter


async def encode_chat(model: ServedModel, asked: ChatRequest) -> list[int]:
    """
    Return the prompt of a conversation.

    Raises:
        ApiError: 400 if no prompt can be made of it, 422 if it has tools and the model none.
    """
    return await encode_messages(model, asked.messages, asked.offered)


async def encode_messages(
    model: ServedModel, messages: Sequence[Message], tools: Sequence[ToolDefinition] = ()
) -> list[int]:
    """
    Return the prompt of messages.

    Raises:
        ApiError: 400 if no prompt can be made of them, 422 if they need tools and the model has
            none.
    """
    if tools:
        _require_tools(model, "tools")
    for index, message in enumerate(messages):
        if message.tool_calls or message.role == "tool":
            name = "role" if message.role == "tool" else "tool_calls"
            _require_tools(model, f"messages[{index}].{name}")
    turns = [message.turn() for message in messages]
    shown = [tool.shown() for tool in tools]
    limit = model.engine.longest_request
    encoding = model.tokenizer.encode_chat(turns, limit=limit, tools=shown)
    return await _encode(encoding, "messages", limit)


def _require_tools(model: ServedModel, param: str) -> None:
    form = model.tokenizer.tool_form
    if form is None:
        why = "was not trained to call tools: its chat template takes none"
    elif isinstance(form, UnknownForm):
        why = f"cannot call tools here: {form}"
    else:
        return
    remedy = "leave it out, or serve a model whose template has tools"
    raise errors.invalid_value(param, f"{param}: {model.name} {why}; {remedy}")


def form_of_calls(model: ServedModel, asked: ChatRequest | CompletionRequest) -> ToolForm | None:
    """Return how the model writes calls, if it was told of tools."""
    form = model.tokenizer.tool_form
    offered = isinstance(asked, ChatRequest) and bool(asked.offered)
    return form if offered and isinstance(form, ToolForm) else None


async def encode_completion(model: ServedModel, asked: CompletionRequest) -> list[int]:
    """
    Return the prompt of a completion; token ids stand as they are.

    Raises:
        ApiError: 400 if it is too long.
    """
    if not isinstance(asked.prompt, str):
        return list(asked.prompt)
    return await encode_text(model, asked.prompt)


async def encode_kaito(model: ServedModel, asked: KaitoChat) -> list[int]:
    """
    Return the prompt of a request in KAITO's old form.

    Raises:
        ApiError: 400 if there is none, or no prompt can be made of it.
    """
    if asked.messages is not None:
        return await encode_messages(model, asked.messages)
    return await encode_text(model, asked.text)


async def encode_text(model: ServedModel, text: str) -> list[int]:
    """
    Return the tokens of a text, the beginning-of-sequence token first.

    Raises:
        ApiError: 400 if it is too long.
    """
    limit = model.engine.longest_request
    return await _encode(model.tokenizer.encode_text(text, limit=limit), "prompt", limit)


def text_of_prompt(model: ServedModel, prompt: str | tuple[int, ...]) -> str:
    """Return the text that an answer with `echo` begins with."""
    if isinstance(prompt, str):
        return prompt
    known = model.engine.vocabulary_size
    return model.tokenizer.decode([token for token in prompt if token < known])


async def _encode(encoding: Awaitable[list[int]], param: str, limit: int) -> list[int]:
    try:
        return await encoding
    except PromptTooLong as error:
        raise errors.prompt_exceeds(
            param=param, limit=limit, at_least=error.at_least_tokens
        ) from None
    except InvalidConversation as error:
        param = f"messages[{error.index}]"
        raise errors.invalid_value(param, str(error), status=400) from None
    except NoChatTemplate as error:
        raise errors.invalid_value("messages", str(error), status=400) from None


async def requests_of(
    model: ServedModel,
    asked: ChatRequest | CompletionRequest,
    prompt_ids: list[int],
    answer_id: str,
    adapter: str = BASE,
) -> tuple[Request, ...]:
    """
    Say what the engine is to do, once for each choice.

    Raises:
        ApiError: 400 with both numbers if prompt and answer do not fit into the context, or with
            the place if the schema of the answer is wrong.
    """
    limit = model.engine.longest_request
    room = limit - len(prompt_ids)
    answer = asked.answer_limit or max(room, 1)
    if answer > room:
        param = "messages" if isinstance(asked, ChatRequest) else "prompt"
        raise errors.context_exceeded(
            param="max_tokens" if room > 0 else param,
            limit=limit,
            prompt=len(prompt_ids),
            answer=answer,
        )
    if (asked.min_tokens or 0) > answer:
        message = f"min_tokens: the answer may take {answer} tokens, fewer than that"
        raise errors.invalid_value("min_tokens", message)
    form = form_of_calls(model, asked)
    sampling = _sampling(asked, answer)
    if form is None and isinstance(asked, ChatRequest):
        sampling = _without_calls(sampling, model, asked)
    constrain = await constraint_of(model.grammars, asked, form)
    count = asked.n or 1
    return tuple(
        Request(
            request_id=answer_id if count == 1 else f"{answer_id}-{index}",
            prompt_ids=tuple(prompt_ids),
            sampling=_of_choice(sampling, index),
            constraint=constrain(),
            cache_salt=asked.cache_salt or "",
            adapter=adapter,
        )
        for index in range(count)
    )


def _without_calls(
    sampling: SamplingParameters, model: ServedModel, asked: ChatRequest
) -> SamplingParameters:
    """Keep a model that knows of tools, but may call none now, from opening a call."""
    form = model.tokenizer.tool_form
    knows = asked.tools or any(message.tool_calls for message in asked.messages)
    if not knows or not isinstance(form, ToolForm) or form.mark_id is None:
        return sampling
    return replace(sampling, logit_bias=(*sampling.logit_bias, (form.mark_id, NEVER)))


def _of_choice(sampling: SamplingParameters, index: int) -> SamplingParameters:
    """Give each choice a seed of its own; the first has the one that was asked for."""
    if sampling.seed is None or index == 0:
        return sampling
    return replace(sampling, seed=(sampling.seed + index) % 2**63)


def _sampling(asked: ChatRequest | CompletionRequest, max_tokens: int) -> SamplingParameters:
    return SamplingParameters(
        max_tokens=max_tokens,
        min_tokens=asked.min_tokens or 0,
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        top_k=asked.top_k or 0,
        min_p=asked.min_p or 0.0,
        seed=asked.seed,
        repetition_penalty=asked.repetition_penalty or 1.0,
        presence_penalty=asked.presence_penalty or 0.0,
        frequency_penalty=asked.frequency_penalty or 0.0,
        logit_bias=asked.logit_bias,
        stop_token_ids=asked.stop_token_ids,
        ignore_eos=asked.ignore_eos,
        logprobs=asked.shown_logprobs,
    )
