"""Structured logs on standard error: for a person on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from detector.terminal import printable


def configure(level: int = logging.INFO, *, worker: int = 0) -> None:
    """Send our own logs and those of the libraries to standard error, one event a line.

    Every line of one of several workers carries its number.
    """

    def number(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["worker"] = worker
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([number] if worker else []),
    ]
    person = sys.stderr.isatty()
    # Its own way to show exceptions prints local variables, and passwords are among them.
    plain = structlog.dev.plain_traceback
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=plain)
        if person
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    # JSON escapes what a terminal would obey; for a person it is done here.
    errors: list[structlog.typing.Processor] = (
        [_escaped] if person else [structlog.processors.format_exc_info]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Noisy, and at DEBUG kafka-python logs what it sends: passwords too.
    for noisy in ("kafka", "elastic_transport", "elasticsearch", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _escaped(
    logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Texts with control and direction characters escaped: names come from strangers."""
    return {k: printable(v) if isinstance(v, str) else v for k, v in event.items()}
