"""
Write each log event as one line of JSON, with its fields beside it.

A message is a fixed phrase; what varies goes into `extra`. Fields are ids, sizes and times: no
prompt, no answer and nothing else that a caller wrote, but for a request id that was checked.
"""

import json
import logging
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Format a record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        written = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": written.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Send events to stderr; libraries speak only when something is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("model_server").setLevel(logging.INFO)


def say(event: str, **fields: object) -> None:
    """Log one event of the process as a whole."""
    logging.getLogger("model_server").info(event, extra=fields)
