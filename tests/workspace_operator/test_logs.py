"""One event per line, with its fields beside it."""

import json
import logging
from typing import Any

import pytest
from workspace_operator.logs import JsonFormatter


def line(record: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def record(level: int, event: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"levelno": level, "levelname": logging.getLevelName(level), "msg": event, **fields}
    )


def test_fields_stand_beside_the_event() -> None:
    made = line(record(logging.INFO, "lease acquired", name="x", lease="atelier", seconds=2))
    assert made["event"] == "lease acquired"
    assert made["level"] == "info"
    assert (made["lease"], made["seconds"]) == ("atelier", 2)


def test_what_json_cannot_hold_becomes_text() -> None:
    assert line(record(logging.INFO, "x", key={1, 2}))["key"] == "{1, 2}"


def test_a_warning_names_the_error_and_an_error_brings_its_traceback() -> None:
    with pytest.raises(ValueError, match="poison") as caught:
        int("poison")
    info = (caught.type, caught.value, caught.tb)
    warning = line(record(logging.WARNING, "pass failed", exc_info=info))
    assert warning["error"] == "ValueError: invalid literal for int() with base 10: 'poison'"
    assert "traceback" not in warning
    assert "int(" in line(record(logging.ERROR, "x", exc_info=info))["traceback"]
