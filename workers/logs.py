"""Structured logs that never hold up a call and never tell who called or what was said.

Records go through a bounded queue to one thread that writes them; what does not fit is dropped,
the newest first, and counted. Standard logging and loguru (Pipecat's) end in the same place.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import sys
import threading
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from loguru import Message

# About a second of forty noisy calls; a terminal that is scrolled holds its writer up for longer.
QUEUE_RECORDS = 10_000
CLOSE_S = 2.0
# Keys whose values are never written, in whatever event they turn up.
PRIVATE_KEYS = frozenset(
    {"from", "from_", "to", "caller", "called", "number", "phone_number", "text", "said", "heard"}
    | {"transcript", "digit", "digits", "ticket", "token", "auth_token", "api_key", "signature"}
)
# Phone numbers as E.164 or as ten and more digits in a row; SIDs hold letters and stay.
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(?:\+\d{7,15}|\d{10,15})(?![0-9A-Za-z]|\.[0-9])")
_HIDDEN = "[hidden]"
# At INFO and below these libraries write whole requests, numbers and transcripts included.
_QUIET = ("twilio", "httpx", "httpcore", "google_genai", "websockets", "aiohttp", "urllib3")


class LogPipe(logging.Handler):
    """The bounded queue, and the thread behind it that hands records to ``writer``."""

    def __init__(self, writer: logging.Handler) -> None:
        super().__init__()
        self.dropped = 0
        """Records that did not fit the queue."""
        self._writer = writer
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUE_RECORDS)
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over as it is, or drop and count it."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, but wait no longer than ``CLOSE_S`` for a stuck output."""
        super().close()
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_S)
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            self._writer.handle(record)


def mask_private(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide private keys, and phone numbers inside other texts."""
    for key, value in event.items():
        if key in PRIVATE_KEYS:
            event[key] = _HIDDEN
        elif isinstance(value, str):
            event[key] = _NUMBER.sub(_HIDDEN, value)
    return event


def start_logs(
    level: str = "INFO", *, stream: TextIO = sys.stderr, console: bool | None = None
) -> LogPipe:
    """Send every log of this process to ``stream``: JSON lines, or columns on a terminal.

    To be closed at the end, so that the last records are written.
    """
    if console is None:
        console = stream.isatty()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Here, because in the writing thread nothing is being handled any more.
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    writer = logging.StreamHandler(stream)
    writer.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_private,
                structlog.dev.ConsoleRenderer()
                if console
                else structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    pipe = LogPipe(writer)
    root = logging.getLogger()
    root.handlers = [pipe]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of every odd algorithm that a stranger puts in a header; those are counted instead.
    logging.getLogger("twilio.request_validator").setLevel(logging.ERROR)
    # A line or two for each request of a stranger's, with the address they made up; likewise
    # counted. What it says of our own mistakes are errors.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # uvicorn sets up handlers of its own unless told otherwise; see entrypoints/server.py.
    _take_loguru()
    return pipe


def _take_loguru() -> None:
    """Pipecat logs through loguru, at DEBUG with transcripts, straight to stderr."""
    try:
        from loguru import logger
    except ImportError:
        return
    target = logging.getLogger("pipecat")

    def forward(message: Message) -> None:
        target.log(message.record["level"].no, message.record["message"])

    logger.remove()
    logger.add(forward, level="WARNING", format="{message}")
