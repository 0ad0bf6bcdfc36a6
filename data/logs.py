"""The one place that configures logging, in every process: JSON lines in a rotated file, readable lines on a terminal.

Each line carries time, level, logger, actor (the process' name), minute and trace. Secrets are kept out by type:
a ``config.secrets.Secret`` among a line's arguments or extras never prints, and whatever text is left (a foreign
library's message, a traceback) has every living secret masked before it is written.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.logging import RichHandler

from config.secrets import HIDDEN, Secret, mask
from config.settings import LogSettings
from core.errors import ConfigError

_minute: ContextVar[int | None] = ContextVar("minute", default=None)
_trace: ContextVar[str | None] = ContextVar("trace", default=None)

_QUIET = (
    "urllib3",
    "asyncio",
    "websockets",
    "ccxt",
    "aiohttp.access",
    "uvicorn.access",
    "apprise",
    "filelock",
    "numba",
)
"""Libraries that tell of every packet; heard from WARNING on."""
_SILENT = ("apprise",)
"""Libraries that may put an address with its token into a message; we report their failures ourselves."""
_SIGNED = re.compile(r"(?i)\b(signature|apikey|api_key|listenkey|token)=[^&\s\"']+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


@contextmanager
def bind_minute(minute: int, trace: str) -> Iterator[None]:
    """Lines logged inside, in this thread or task, carry the minute and its trace."""
    tokens = _minute.set(minute), _trace.set(trace)
    try:
        yield
    finally:
        _minute.reset(tokens[0])
        _trace.reset(tokens[1])


def configure_logs(
    settings: LogSettings, log_dir: Path, process_name: str, *, terminal: bool = False, stream: TextIO | None = None
) -> Path:
    """Send this process' log to ``<log_dir>/<process_name>.jsonl``; with ``terminal`` also, readable, to ``stream``.

    May be called again: the earlier handlers are closed and replaced. One process name, one process: two that
    share a file would rotate it under each other. Returns the file. Raises ConfigError when it cannot be opened.
    """
    path = log_dir / f"{process_name}.jsonl"
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        file: logging.Handler = RotatingFileHandler(
            path, maxBytes=settings.max_mb * 1_000_000, backupCount=settings.keep, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(f"config.json: var_dir: cannot write {path} ({error.strerror})") from error
    file.setFormatter(JsonLines(process_name))
    handlers = [file, *([_terminal(stream or sys.stderr)] if terminal else [])]
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if getattr(handler, "minutehand", False)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.minutehand = True  # type: ignore[attr-defined]
        handler.addFilter(drop_secrets)
        root.addHandler(handler)
    root.setLevel(settings.level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)
    return path


def drop_secrets(record: logging.LogRecord) -> bool:
    """Replace every Secret among the line's arguments and extras, however deep; keeps the line."""
    if isinstance(record.msg, Secret):
        record.msg = HIDDEN
    if record.args:
        record.args = _clean(record.args)
    for key, value in vars(record).items():
        if key not in _STANDARD:
            setattr(record, key, _clean(value))
    return True


class JsonLines(logging.Formatter):
    """One JSON object a line; keys of ``extra=`` stand beside the standard ones."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._name = process_name

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "actor": self._name,
            "logger": record.name,
            "minute": _minute.get(),
            "trace": _trace.get(),
            "message": _text(record.getMessage()),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD and key != "minutehand"}
        if record.exc_info:
            line["exception"] = _text(self.formatException(record.exc_info))
        return _text(json.dumps(line, default=str, ensure_ascii=False, skipkeys=True))


class Readable(logging.Formatter):
    """``time level logger message``, for people."""

    def __init__(self, form: str) -> None:
        super().__init__(form, datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return _text(super().format(record))


def _terminal(stream: TextIO) -> logging.Handler:
    if stream.isatty():
        handler: logging.Handler = RichHandler(
            console=Console(file=stream),
            show_path=False,
            markup=False,
            rich_tracebacks=False,
            log_time_format="%H:%M:%S",
        )
        handler.setFormatter(Readable("%(name)s: %(message)s"))
        return handler
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Readable("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    return handler


def _text(text: str) -> str:
    return mask(_SIGNED.sub(rf"\1={HIDDEN}", text))


def _clean(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _clean(inner) for key, inner in value.items()}
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(_clean(inner) for inner in value)
    return value
