"""Streams are written as the clients of OpenAI's API read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.api.errors import internal
from model_server.text.shown_tokens import ShownToken, chat_logprobs, completion_logprobs
from model_server.web.sse import AnswerHead, Choice, ChunkWriter, Usage, error_event, whole_answer

HEAD = AnswerHead(answer_id="chatcmpl-1", created=7, model='a "model"')


def data(event: bytes) -> dict[str, object]:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    parsed: dict[str, object] = json.loads(event[6:])
    return parsed


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans(), st.booleans())
def test_any_text_comes_back_from_its_chunk(text: str, chat: bool, with_usage: bool) -> None:  # noqa: FBT001 - drawn
    chunk = data(ChunkWriter(HEAD, chat=chat, with_usage=with_usage).text(text))
    content: dict[str, object] = {"delta": {"content": text}} if chat else {"text": text}
    assert chunk == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 7,
        "model": 'a "model"',
        "choices": [{"index": 0, **content, "logprobs": None, "finish_reason": None}],
        **({"usage": None} if with_usage else {}),
    }


@pytest.mark.parametrize("with_usage", [True, False])
def test_all_chunks_of_a_stream_agree_on_what_repeats(*, with_usage: bool) -> None:
    writer = ChunkWriter(HEAD, chat=True, with_usage=with_usage)
    chunks = [data(writer.opening()), data(writer.text("x")), data(writer.closing("stop"))]
    for chunk in chunks:
        repeated = {key: chunk[key] for key in ("id", "object", "created", "model")}
        assert repeated == {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": 'a "model"',
        }
        assert ("usage" in chunk) is with_usage
    usage = writer.usage(Usage(prompt_tokens=2, completion_tokens=3))
    assert bool(usage) is with_usage
    if with_usage:
        assert data(usage)["choices"] == []
        assert data(usage)["usage"] == {
            "prompt_tokens": 2,
            "completion_tokens": 3,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


def test_a_plain_completion_has_no_opening() -> None:
    writer = ChunkWriter(HEAD, chat=False, with_usage=False)
    assert writer.opening() == b""
    assert data(writer.closing("length"))["choices"] == [
        {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    ]


def test_a_whole_answer_is_one_json_document() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    choices = [Choice(text="é\n", finish_reason="stop")]
    body = whole_answer(HEAD, chat=False, choices=choices, usage=usage)
    document = json.loads(body)
    assert document["object"] == "text_completion"
    assert document["choices"][0]["text"] == "é\n"


@pytest.mark.parametrize("chat", [True, False])
def test_log_probabilities_are_written_token_by_token_and_come_out_whole(chat: bool) -> None:  # noqa: FBT001
    tokens = [
        ShownToken(
            data=f"é{n}".encode(), logprob=-n / 3, top=(ShownToken(data=b"\xff", logprob=-1.0),)
        )
        for n in range(3)
    ]
    logprobs = chat_logprobs(tokens) if chat else completion_logprobs(tokens, 7)
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    choices = [Choice(text="x", finish_reason="stop", logprobs=logprobs)] * 2
    document = json.loads(whole_answer(HEAD, chat=chat, choices=choices, usage=usage))
    assert [choice["logprobs"] for choice in document["choices"]] == [logprobs] * 2
    assert [choice["index"] for choice in document["choices"]] == [0, 1]


def test_an_error_is_an_event_too() -> None:
    event = data(error_event(internal().problem.document()))
    assert event == internal().problem.document()
