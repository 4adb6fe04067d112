"""Structured logs that never hold up a call and never tell who called or what was said.

What is logged is named events with harmless keys; because texts of others get into them all the
same (a tool's error, a peer's reason, a library's warning), every value is masked on its way out.

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
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from agent.conversation.redaction import Redactor
from agent.spec import Redaction
from agent.text import sendable

if TYPE_CHECKING:
    from loguru import Message

# About a second of forty noisy calls; a terminal that is scrolled holds its writer up for longer.
QUEUE_RECORDS = 10_000
CLOSE_S = 2.0
# Keys whose values are never written, in whatever event they turn up.
PRIVATE_KEYS = frozenset(
    {"from", "from_", "to", "caller", "called", "number", "phone_number", "text", "said", "heard"}
    | {"transcript", "digit", "digits", "ticket", "token", "auth_token", "api_key", "signature"}
    | {"args", "response", "summary", "facts", "briefing", "instruction", "prompt", "history"}
)
# Phone numbers as E.164, and ten and more digits in a row, whatever they are: a log does without
# them. SIDs hold letters and stay, and so do times with a fraction.
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(?:\+\d{7,15}|\d{10,})(?![0-9A-Za-z]|\.[0-9])")
_LONG_NUMBER = 10**9
_HIDDEN = "[hidden]"
# Whatever an agent wants kept, a log needs none of it. Card numbers in groups, and addresses.
_REDACTOR = Redactor(Redaction(emails=True, phone_numbers=True))
# Objects that log themselves in objects; nobody reads deeper.
_MAX_DEPTH = 6
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

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return self._queue.qsize()

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


class _Stamp:
    def __init__(self, process: int) -> None:
        self._process = process

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["process"] = self._process
        return event


def mask_private(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Hide private keys, and numbers and addresses inside all other values."""
    for key, value in event.items():
        event[key] = _HIDDEN if key in PRIVATE_KEYS else _masked(value)
    return event


def _masked(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return _HIDDEN if abs(value) >= _LONG_NUMBER else value
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {
            _masked(str(key)): _HIDDEN if key in PRIVATE_KEYS else _masked(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)) and depth < _MAX_DEPTH:
        return [_masked(item, depth + 1) for item in value]
    # Others are written as texts anyway. What steers a terminal, or is no UTF-8, goes.
    return _NUMBER.sub(_HIDDEN, _REDACTOR.redact_text(sendable(str(value))))


def start_logs(
    level: str = "INFO",
    *,
    stream: TextIO = sys.stderr,
    console: bool | None = None,
    process: int | None = None,
) -> LogPipe:
    """Send every log of this process to ``stream``: JSON lines, or columns on a terminal.

    To be closed at the end, so that the last records are written. ``process`` stands in each of
    them, where several processes write to the same place.
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
                # Here, because libraries' records pass no other place.
                *([] if process is None else [_Stamp(process)]),
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
