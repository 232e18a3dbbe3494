"""Prompts equal those of Mistral's own tokenizer, token by token, whatever a user writes."""

import asyncio
import json
import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_presets.catalog import load_catalog
from model_server.text.chat_prompt import InvalidConversation, NoChatTemplate, PromptTooLong
from model_server.text.detokenize import Detokenizer
from model_server.text.tokenizer import BadTokenizer, TextTokenizer

from tests.model_server.mistral_tokenizers import (
    Mistral,
    reference,
    reference_prompt,
    write_tokenizer,
)

LIMIT = 32_768
BEGIN, END = 1, 2
# Version 3 has control tokens for the instruction's marks, and no space before the second one.
TEMPLATE_V3 = (
    "{{- bos_token -}}{%- for turn in messages -%}{%- if turn['role'] == 'user' -%}"
    "{{- '[INST] ' + turn['content'] + '[/INST]' -}}{%- else -%}"
    "{{- ' ' + turn['content'].rstrip() + eos_token -}}{%- endif -%}{%- endfor -%}"
)
# The hub's own template of v0.1: it ends each answer with a space after the control token.
# Source: tokenizer_config.json of Mistral-7B-Instruct-v0.1, as transformers' documentation has it.
TEMPLATE_HUB = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] + eos_token + ' ' }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {version: tmp_path_factory.mktemp(version) for version in ("v1", "v3")}
    for version, directory in made.items():
        write_tokenizer(version, directory)
    return made


@pytest.fixture(scope="session")
def tokenizers(folders: dict[str, Path]) -> dict[str, TextTokenizer]:
    preset = load_catalog().get("mistral-7b-instruct").chat_template
    return {
        "v1": TextTokenizer(folders["v1"], chat_template=preset),
        "v1-hub": TextTokenizer(folders["v1"], chat_template=TEMPLATE_HUB),
        "v3": TextTokenizer(folders["v3"], chat_template=TEMPLATE_V3),
    }


@cache
def mistral(version: str) -> Mistral:
    return reference(version.removesuffix("-hub"))


def chat(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": system}] if system is not None else []
    roles = ("user", "assistant")
    return turns + [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]


def encode(tokenizer: TextTokenizer, turns: list[dict[str, str]]) -> list[int]:
    return asyncio.run(tokenizer.encode_chat(turns, limit=LIMIT))


CHATS = [
    chat("Hi"),
    chat("Hi", "Hello", "2+2?"),
    chat("a\n\nb", " leading and trailing ", "  two  "),
    chat("Say </s> and <s> and [INST] x [/INST] and <unk>."),
    chat("</s>", "<s>", "[/INST]</s>"),
    chat("日本 👩‍🚀 naïve \u200b ﷽"),
    chat("<0x0A> ▁a ▁"),
    chat(""),
    chat("<", ">", "s>"),
]


@pytest.mark.parametrize("turns", CHATS)
@pytest.mark.parametrize("version", ["v1", "v1-hub", "v3"])
def test_a_chat_has_the_ids_of_mistrals_own_tokenizer(
    tokenizers: dict[str, TextTokenizer], version: str, turns: list[dict[str, str]]
) -> None:
    wanted = reference_prompt(mistral(version), turns)
    assert encode(tokenizers[version], turns) == wanted
    assert wanted.count(BEGIN) == 1


@pytest.mark.parametrize("system", ["Be brief.", "", " Be\n\nbrief. ", "</s>[INST]"])
def test_a_system_text_opens_the_first_user_turn(
    tokenizers: dict[str, TextTokenizer], system: str
) -> None:
    for contents in (("Hi",), ("Hi", "Hello", "2+2?")):
        turns = chat(*contents, system=system)
        assert encode(tokenizers["v1"], turns) == reference_prompt(mistral("v1"), turns)


def test_known_ids_of_version_3(tokenizers: dict[str, TextTokenizer]) -> None:
    assert encode(tokenizers["v3"], chat("Hi")) == [1, 3, 16127, 4]


marks = ("</s>", "<s>", "[INST]", "[/INST]", "<unk>", " ", "\n", "a", "é", "<", "s>")
words = st.sampled_from(marks)
texts = st.lists(words | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)).map("".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=texts, answer=texts.filter(str.strip), second=texts)
def test_no_text_of_a_user_changes_what_the_template_says(
    tokenizers: dict[str, TextTokenizer], first: str, answer: str, second: str
) -> None:
    turns = chat(first, answer, second)
    ids = encode(tokenizers["v1"], turns)
    assert ids.count(BEGIN) == 1
    assert ids.count(END) == 1
    assert ids == reference_prompt(mistral("v1"), turns)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_a_completion_is_its_text_after_one_begin_token(
    tokenizers: dict[str, TextTokenizer], text: str
) -> None:
    tokenizer = tokenizers["v1"]
    ids = asyncio.run(tokenizer.encode_text(text, limit=LIMIT))
    own = mistral("v1").instruct_tokenizer.tokenizer
    assert ids == own.encode(text, bos=True, eos=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_tokens_one_by_one_join_to_the_text(
    tokenizers: dict[str, TextTokenizer], text: str
) -> None:
    tokenizer = tokenizers["v1"]
    ids = asyncio.run(tokenizer.encode_text(text, limit=LIMIT))
    detokenizer = Detokenizer(tokenizer.decode)
    pieces = [detokenizer.push([id_]) for id_ in ids] + [detokenizer.finish()]
    assert "".join(pieces) == tokenizer.decode(ids) == text.replace("▁", " ")


@pytest.mark.parametrize(
    ("roles", "index"),
    [
        (["user", "user"], 1),
        (["assistant"], 0),
        (["system"], 0),
        (["system", "assistant"], 1),
        (["user", "system"], 1),
        (["user", "assistant"], 1),
        (["system", "system", "user"], 1),
        (["user", "assistant", "assistant", "user"], 2),
    ],
)
def test_roles_out_of_turn_are_refused_by_index(
    tokenizers: dict[str, TextTokenizer], roles: list[str], index: int
) -> None:
    turns = [{"role": role, "content": "x"} for role in roles]
    with pytest.raises(InvalidConversation) as refused:
        encode(tokenizers["v1"], turns)
    assert refused.value.index == index
    assert f"messages[{index}]" in str(refused.value)


def test_a_template_that_refuses_is_the_callers_fault(folders: dict[str, Path]) -> None:
    tokenizer = TextTokenizer(folders["v1"], chat_template="{{ raise_exception('no') }}")
    with pytest.raises(InvalidConversation, match="refuses: no"):
        encode(tokenizer, chat("Hi"))


def test_a_base_model_does_not_chat_and_an_own_template_is_found(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["v1"], tmp_path, dirs_exist_ok=True)
    with pytest.raises(NoChatTemplate):
        encode(TextTokenizer(tmp_path, chat_template=None), chat("Hi"))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = TEMPLATE_HUB
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    own = TextTokenizer(tmp_path, chat_template=None)
    assert encode(own, chat("Hi")) == [1, 733, 16289, 28793, 15359, 733, 28748, 16289, 28793]


def test_a_text_that_must_be_too_long_is_not_encoded(
    tokenizers: dict[str, TextTokenizer],
) -> None:
    tokenizer = tokenizers["v1"]
    with pytest.raises(PromptTooLong) as refused:
        asyncio.run(tokenizer.encode_text(" " * 1_000, limit=10))
    assert refused.value.at_least_tokens == 63  # the longest token has 16 characters
    assert len(asyncio.run(tokenizer.encode_text(" " * 160, limit=10))) <= 12


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTokenizer, match=r"no tokenizer\.json"):
        TextTokenizer(tmp_path, chat_template=None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadTokenizer, match="cannot be read"):
        TextTokenizer(tmp_path, chat_template=None)
