"""
Find the training data in a folder, read it, and make token ids of it.

A user's folder holds one kind of file: JSON lines, CSV, Parquet or text. What cannot be read, or
is no training data, is named before the weights are loaded. A row's text is never in a message: it
is somebody's data.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_tuning.examples import Example, InvalidData, Tokenizer, choose_columns, cut, encode_row

# Suffix -> the reader of the `datasets` library.
READERS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """
    Hold the examples to learn from, and those kept back to measure with.

    Attributes:
        train: To learn from.
        test: Kept back; may be empty.
    """

    train: tuple[Example, ...]
    test: tuple[Example, ...]


def find_files(folder: Path) -> tuple[str, list[str]]:
    """
    Return the reader and the files of a folder.

    Raises:
        InvalidData: when there are none, or they are of more than one kind.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in READERS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    kinds = sorted({READERS[path.suffix.lower()] for path in files})
    if not files:
        raise InvalidData(f"{folder}: no data; give files named {', '.join(sorted(READERS))}")
    if len(kinds) > 1:
        raise InvalidData(f"{folder}: files of {' and '.join(kinds)} together; give one kind")
    return kinds[0], [str(path) for path in files]


def read_rows(folder: Path, cache: Path) -> tuple[list[str], list[Mapping[str, Any]]]:
    """
    Read all rows of a folder's files.

    Args:
        folder: Where the data lies.
        cache: A folder that may be written.

    Returns:
        The columns, and the rows.

    Raises:
        InvalidData: when a file is not what its name says, or there are no rows.
    """
    from datasets import load_dataset  # noqa: PLC0415 - pyarrow and pandas: seconds
    from datasets.exceptions import DatasetGenerationError  # noqa: PLC0415 - the same

    reader, files = find_files(folder)
    try:
        loaded = load_dataset(reader, data_files=files, split="train", cache_dir=str(cache))
    except (DatasetGenerationError, ValueError, OSError) as error:
        raise InvalidData(f"{folder}: not readable as {reader}: {error}") from error
    if not len(loaded):
        raise InvalidData(f"{folder}: {len(files)} files without a row")
    return list(loaded.column_names), list(loaded)


def prepare(
    columns: list[str],
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    tokenizer: Tokenizer,
    template: str | None,
    longest: int,
) -> TrainingData:
    """
    Make token ids of the rows, shuffle them and keep some back, as the settings say.

    Args:
        columns: Names of the columns.
        rows: The data.
        settings: Section DatasetConfig.
        tokenizer: The model's own.
        template: The preset's chat template; none for a base model.
        longest: Tokens of an example at most; the rest is cut.

    Raises:
        InvalidData: names the row by its number.
    """
    from jinja2 import TemplateError  # noqa: PLC0415 - transformers' own way to refuse a turn

    chosen = choose_columns(settings, columns)
    examples = []
    for number, row in enumerate(rows, start=1):
        try:
            examples.append(cut(encode_row(row, chosen, tokenizer, template), longest))
        except (InvalidData, TemplateError) as error:
            raise InvalidData(f"row {number} of {len(rows)}: {error}") from error
    if settings["shuffle_dataset"]:
        random.Random(settings.get("shuffle_seed", 0)).shuffle(examples)  # noqa: S311 - no secret
    kept = max(1, round(len(examples) * settings["train_test_split"]))
    return TrainingData(train=tuple(examples[:kept]), test=tuple(examples[kept:]))
