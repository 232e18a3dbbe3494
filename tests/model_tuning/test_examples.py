"""Rows become tokens: what is learned, what is only read, and which rows are refused."""

from pathlib import Path
from typing import Any

import pytest
from model_presets.catalog import load_catalog
from model_presets.tiny import make_tiny
from model_tuning.data import find_files, prepare, read_rows
from model_tuning.examples import Columns, InvalidData, choose_columns, cut, encode_row
from transformers import AutoTokenizer

TEMPLATE = load_catalog().get("tiny-mistral").chat_template
SETTINGS = {"shuffle_dataset": False, "train_test_split": 1}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - transformers' class
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder, steps=0)
    return AutoTokenizer.from_pretrained(folder)


def learned(tokenizer: Any, row: dict[str, Any], columns: Columns, template: str | None) -> str:  # noqa: ANN401 - the same
    example = encode_row(row, columns, tokenizer, template)
    pairs = zip(example.input_ids, example.completion_mask, strict=True)
    return str(tokenizer.decode([token for token, mask in pairs if mask]))


def test_only_the_answers_of_a_conversation_are_learned(tokenizer: Any) -> None:  # noqa: ANN401 - the same
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "First."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Second."},
    ]
    columns = Columns(messages="messages")
    assert learned(tokenizer, {"messages": turns}, columns, TEMPLATE) == "First.</s> Second.</s>"
    example = encode_row({"messages": turns}, columns, tokenizer, TEMPLATE)
    assert tokenizer.decode(example.input_ids) == (
        "<s> [INST] Be brief.\n\nOne? [/INST] First.</s> [INST] Two? [/INST] Second.</s>"
    )


def test_a_question_and_its_answer_are_a_conversation_where_the_model_has_a_template(
    tokenizer: Any,  # noqa: ANN401 - the same
) -> None:
    columns = Columns(context="q", response="a")
    row = {"q": "One?", "a": "First."}
    assert learned(tokenizer, row, columns, TEMPLATE) == "First.</s>"
    example = encode_row(row, columns, tokenizer, TEMPLATE)
    assert "[INST] One? [/INST]" in tokenizer.decode(example.input_ids)
    base = encode_row(row, columns, tokenizer, None)
    assert "[INST]" not in tokenizer.decode(base.input_ids)
    assert base.completion_mask[-1] == 1
    assert base.completion_mask[0] == 0


def test_plain_text_is_learned_whole_and_ends(tokenizer: Any) -> None:  # noqa: ANN401 - the same
    example = encode_row({"text": "hello"}, Columns(text="text"), tokenizer, TEMPLATE)
    assert example.input_ids[0] == 1
    assert example.input_ids[-1] == tokenizer.eos_token_id
    assert all(example.completion_mask)
    assert len(cut(example, 2).input_ids) == len(cut(example, 2).completion_mask) == 2


@pytest.mark.parametrize(
    ("settings", "present", "expected"),
    [
        ({}, ["messages", "id"], Columns(messages="messages")),
        ({}, ["text"], Columns(text="text")),
        ({"messages_column": "m"}, ["m", "text"], Columns(messages="m")),
        (
            {"context_column": "q", "response_column": "a"},
            ["q", "a", "text"],
            Columns(context="q", response="a"),
        ),
    ],
)
def test_columns_are_the_named_ones_else_the_usual_ones(
    settings: dict[str, str], present: list[str], expected: Columns
) -> None:
    assert choose_columns(settings, present) == expected


@pytest.mark.parametrize(
    ("settings", "present", "words"),
    [
        ({"text_column": "txt"}, ["text"], "text_column: 'txt': not in the data, which has text"),
        ({}, ["a", "b"], "columns a, b; name messages_column"),
    ],
)
def test_columns_that_are_not_there_are_named(
    settings: dict[str, str], present: list[str], words: str
) -> None:
    with pytest.raises(InvalidData, match=words):
        choose_columns(settings, present)


@pytest.mark.parametrize(
    ("row", "template", "words"),
    [
        ({"messages": "hello"}, TEMPLATE, "no list of messages"),
        ({"messages": [{"role": "user"}]}, TEMPLATE, "no list of messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, TEMPLATE, "without an answer"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, TEMPLATE, "roles take turns"),
        ({"messages": [{"role": "user", "content": "x"}]}, None, "base model"),
    ],
)
def test_a_row_that_teaches_nothing_is_named_by_its_number(
    tokenizer: Any,  # noqa: ANN401 - the same
    row: dict[str, Any],
    template: str | None,
    words: str,
) -> None:
    with pytest.raises(InvalidData, match=rf"row 1 of 1: .*{words}"):
        prepare(["messages"], [row], SETTINGS, tokenizer, template, 100)


def test_some_are_kept_back_and_the_order_follows_the_seed(tokenizer: Any) -> None:  # noqa: ANN401 - the same
    rows = [{"text": f"number {number}"} for number in range(10)]

    def prepared(**changes: Any) -> list[list[int]]:  # noqa: ANN401 - settings
        settings = {**SETTINGS, "train_test_split": 0.8, **changes}
        data = prepare(["text"], rows, settings, tokenizer, None, 100)
        assert (len(data.train), len(data.test)) == (8, 2)
        return [example.input_ids for example in data.train]

    assert prepared() != prepared(shuffle_dataset=True)
    assert prepared(shuffle_dataset=True) == prepared(shuffle_dataset=True)
    assert prepared(shuffle_dataset=True) != prepared(shuffle_dataset=True, shuffle_seed=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "one"}\n{"text": "two"}\n'),
        ("a.csv", "text\none\ntwo\n"),
        ("a.txt", "one\ntwo\n"),
    ],
)
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text(content)
    columns, rows = read_rows(tmp_path / "data", tmp_path / "cache")
    assert columns == ["text"]
    assert [row["text"] for row in rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no data; give files named"),
        ({"a.pdf": "x", ".hidden/a.csv": "text\nx"}, "no data"),
        ({"a.csv": "text\nx", "b.txt": "x"}, "csv and text together"),
        ({"a.jsonl": '{"text": '}, "not readable as json"),
        ({"a.csv": "text\n"}, "no data"),
    ],
)
def test_a_folder_that_holds_no_data_is_named(
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    with pytest.raises(InvalidData, match=words):
        read_rows(folder, tmp_path / "cache")


def test_a_folder_below_a_hidden_one_still_counts(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "data"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    assert find_files(folder)[0] == "text"
