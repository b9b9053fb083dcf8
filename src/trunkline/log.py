"""Structured logs: one JSON object a line, on stderr. Events with fields, never a key, never a prompt."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import msgspec
import structlog

from trunkline.ids import now

Format = Literal["json", "text"]
Level = Literal["debug", "info", "warning", "error"]

_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(*, level: Level = "info", format: Format = "json") -> None:
    """Sets up logging for this process; what libraries log goes the same way."""
    threshold = getattr(logging, level.upper())
    written = [_as_json] if format == "json" else _as_text()
    structlog.configure(
        processors=written,
        wrapper_class=_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),  # one write a line
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


def get_logger() -> Any:
    """Returns the logger that every module uses: ``log.info("attempt_failed", status=502)``."""
    return structlog.get_logger()


def _logger(threshold: int) -> type[Any]:
    """Returns structlog's class with what is between a call and its line on one level."""
    quiet: Any = structlog.make_filtering_bound_logger(threshold)

    class Logger(quiet):  # type: ignore[misc]  # made at run time
        def _proxy_to_logger(self, method: str, event: str, /, **fields: Any) -> None:
            line: Any = {**fields, "event": event}
            try:
                for process in self._processors:
                    line = process(None, method, line)
            except structlog.DropEvent:
                return
            self._logger.msg(line)

    return Logger


def _as_json(_logger: Any, method: str, event: structlog.typing.EventDict) -> str:
    """Makes an event a line in one step: every request writes one."""
    event["level"] = method
    event["timestamp"] = now()
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(_logger, method, event)
    return _encode(event).decode()


def _as_text() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
