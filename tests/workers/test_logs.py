"""Logs tell what happened, not to whom, and never hold anybody up."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog
from loguru import logger as loguru_logger

from workers import logs
from workers.logs import LogPipe, start_logs


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(log: LogPipe, stream: io.StringIO) -> list[dict[str, object]]:
    log.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_record_is_one_json_line_with_bound_call() -> None:
    """Call SID and keys of the event are fields of their own."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    with structlog.contextvars.bound_contextvars(call_sid="CA" + "1" * 32):
        structlog.get_logger("test").info("live.resumed", gap_ms=180)
    (record,) = written(log, stream)
    assert record["event"] == "live.resumed"
    assert record["gap_ms"] == 180
    assert record["call_sid"] == "CA" + "1" * 32
    assert record["level"] == "info"


def test_numbers_transcripts_and_tokens_are_hidden() -> None:
    """By key, and phone numbers wherever they turn up, tracebacks included."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    structlog.get_logger("test").info("x", from_="+15550100001", text="my secret", ticket="t-1")
    logging.getLogger("other").warning("cannot call %s", "+15550100001")
    try:
        raise ValueError("+15550100001 is not a number")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    log.close()
    for private in ("5550100001", "my secret", "t-1"):
        assert private not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"cannot charge {CARD}", "1111"),
        ("cannot charge 4111111111111111", "1111"),
        ("cannot charge 4111-1111-1111-1112 or 4111111111111112", "4111111111111112"),
        ("no account 123456789012345678901234", "12345678"),
        ("four one one one, one one one one, one one one one, one one one one", "one one"),
        ("no customer anna.smith@example.com", "anna"),
        ("cannot call (555) 010-0001 or +1 555 010 0001", "0001"),
    ],
)
def test_numbers_and_addresses_are_hidden_in_any_value(text: str, left: str) -> None:
    """As text, in lists and mappings, as a key, inside objects and errors, from any library."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    logger = structlog.get_logger("test")
    logger.warning("x", detail=text, nested={"a": [text, {text: text}]}, error=ValueError(text))
    logging.getLogger("other").warning("no: %s", text)
    logging.getLogger("other").warning("%(a)s", {"a": text})
    loguru_logger.warning(text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
        logging.getLogger("other").exception(text)
    records = written(log, stream)
    assert len(records) == 6
    assert left not in stream.getvalue()
    assert stream.getvalue().count("ValueError") >= 2


def test_numbers_that_are_no_texts_are_hidden() -> None:
    """A tool's argument may be a number; counts, sizes and times are told."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    structlog.get_logger("test").info(
        "x", card=4111111111111111, took_ms=180, size_bytes=123456789, at=1764152100.25, args={}
    )
    (record,) = written(log, stream)
    assert record["card"] == record["args"] == "[hidden]"
    assert (record["took_ms"], record["size_bytes"], record["at"]) == (
        180,
        123456789,
        1764152100.25,
    )


def test_what_an_operator_needs_is_not_hidden() -> None:
    """Identifiers, times, addresses of machines, files and codes."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    told = {
        "call_sid": "CA" + "0123456789" * 3 + "01",
        "file": "CA" + "1" * 32 + ".wav",
        "detail": "closed with 1011 after 12.345678 s: 2 of 10 at 2026-11-26T10:15:00.123456Z",
        "url": "wss://127.0.0.1:50123/media",
        "counted": {"late_audio": 3},
        "id": "41111111-1111-4111-8111-11111111111a",
    }
    structlog.get_logger("test").info("x", **told)
    (record,) = written(log, stream)
    assert {key: record[key] for key in told} == told


def test_text_of_others_steers_no_terminal_and_stops_no_writer() -> None:
    """Escape sequences and halves of surrogate pairs are gone before a terminal gets them."""
    for console in (True, False):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        log = start_logs("INFO", stream=stream, console=console)
        structlog.get_logger("test").info("x", reason="a\x1b[2Jb\ud800")
        log.close()
        stream.flush()
        text = stream.buffer.getvalue().decode()
        assert "[2Jb" in text
        assert "\x1b[2J" not in text
        assert "u001b" not in text


def test_libraries_are_heard_from_warning_on() -> None:
    """The Twilio SDK logs whole requests at INFO, Pipecat transcripts at DEBUG through loguru."""
    stream = io.StringIO()
    log = start_logs("DEBUG", stream=stream, console=False)
    logging.getLogger("twilio.http_client").info("POST To=+15550100001")
    loguru_logger.debug("transcript: hello")
    loguru_logger.warning("audio queue is full")
    assert [record["event"] for record in written(log, stream)] == ["audio queue is full"]


def test_strangers_write_no_log() -> None:
    """The web server has lines for each of their requests; those are counted instead."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False)
    logging.getLogger("uvicorn.error").info('192.0.2.1:1 - "WebSocket /what/they/like" 403')
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [record["event"] for record in written(log, stream)] == ["Exception in ASGI application"]


def test_stuck_output_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that does not take the log costs records, not time."""
    monkeypatch.setattr(logs, "QUEUE_RECORDS", 10)
    go_on = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            go_on.wait(10)
            return super().write(text)

    stream = Stuck()
    log = start_logs("INFO", stream=stream, console=False)
    for number in range(50):
        structlog.get_logger("test").info("x", number=number)
    assert log.dropped >= 39
    assert log.waiting == 10
    go_on.set()
    log.close()
    assert log.waiting == 0
    assert len(stream.getvalue().splitlines()) == 50 - log.dropped


def test_every_record_names_its_process() -> None:
    """Several of them write to one place, their libraries and threads as well."""
    stream = io.StringIO()
    log = start_logs("INFO", stream=stream, console=False, process=3)
    structlog.get_logger("test").info("x")
    thread = threading.Thread(target=lambda: logging.getLogger("other").warning("y"))
    thread.start()
    thread.join()
    assert [record["process"] for record in written(log, stream)] == [3, 3]
