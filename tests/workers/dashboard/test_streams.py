"""Streams are told by who served them, how they ended in the middle of a call, and who went on."""

from __future__ import annotations

import pytest

from agent.conversation.record import CallRecord, EndReason, StreamRecord
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.story import StreamChange
from workers.dashboard.streams import (
    change_words,
    left_of,
    shortened,
    stream_end,
    workers_of,
)


def change(
    reason: EndReason | None, *, ended_s: float | None = 8.0, to: str = "b", by: str = "a"
) -> StreamChange:
    before = StreamRecord("MZ1", 0.0, ended_s, reason, worker=by)
    return StreamChange(2, StreamRecord("MZ2", 9.5, worker=to), before)


def test_hand_over_names_who_went_on_and_how_much_later() -> None:
    """The caller heard nothing of it, so it is good."""
    handed = change(EndReason.HANDED_OVER)
    assert change_words(handed) == "Handed over to another worker; stream 2 at b after 1.5 s"
    assert left_of(handed.before)[0] == "good"


def test_worker_that_died_left_no_end_of_its_stream() -> None:
    """Nobody knows when that was, so no pause is made up."""
    died = change(None, ended_s=None)
    assert change_words(died) == "Its worker died or fell silent; stream 2 at b"
    assert left_of(died.before)[0] == "bad"


@pytest.mark.parametrize(
    ("by", "to", "where"), [("a", "a", " at the same worker"), ("", "", ""), ("a", "", "")]
)
def test_worker_is_named_where_it_is_known(by: str, to: str, where: str) -> None:
    """Records of an older version name none."""
    words = change_words(change(EndReason.STREAM_LOST, by=by, to=to))
    assert words == f"The media stream was lost; stream 2{where} after 1.5 s"


def test_next_stream_that_began_before_the_end_was_noticed() -> None:
    """A pause is never negative."""
    assert change_words(change(EndReason.TAKEN_OVER, ended_s=12.0)).endswith("after 0 ms")


@pytest.mark.parametrize("reason", [*EndReason, None])
def test_every_end_in_the_middle_of_a_call_has_words(reason: EndReason | None) -> None:
    """Those of a hand-over do not say that nobody went on: somebody did."""
    words = left_of(StreamRecord("MZ1", 0.0, 1.0, reason))[1]
    assert words
    assert "did not go on" not in words
    assert "nobody went on" not in words


def test_the_last_stream_ends_as_the_call_does() -> None:
    """There a hand-over means that the caller was left alone."""
    streams = [StreamRecord("MZ1", 0.0, 1.0, EndReason.HANDED_OVER, worker="a")]
    record = CallRecord("CA0", "a", "m", streams=streams, end_reason=EndReason.HANDED_OVER)
    assert "nobody went on" in stream_end(record, 1)[1]
    record.streams.append(StreamRecord("MZ2", 2.0, worker="b"))
    record.end_reason = None
    assert stream_end(record, 1) == ("good", "Handed over to another worker")
    assert stream_end(record, 2) == ("good", "It goes on")


def test_workers_are_named_once_each() -> None:
    """A call may come back to the one it began at."""
    assert workers_of(shared_record()) == [FIRST, SECOND]


def test_long_name_keeps_its_end() -> None:
    """Hosts of one fleet begin alike."""
    assert shortened("a" * 30 + ":4711:9f3ac2d1") == "…" + "a" * 9 + ":4711:9f3ac2d1"
    assert shortened("short") == "short"
