"""What happened in a call, in order and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    DigitRecord,
    EndReason,
    FactRecord,
    MoveCause,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    SummaryMade,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
)
from tests.fakes.sample_call import sample_record
from workers.dashboard.story import (
    PLAIN_LETTERS,
    KeysPressed,
    StreamChange,
    at,
    duration_s,
    end_of,
    grouped_keys,
    happenings,
    heard_and_not,
    long,
    plain,
    tool_verdict,
    was_cut,
)


def test_happenings_are_in_order_of_time() -> None:
    """Turns, tools, barge-ins and keys come as they happened; the only stream does not."""
    found = happenings(sample_record())
    assert [seconds for seconds, _ in found] == sorted(seconds for seconds, _ in found)
    assert len(found) == 8 + 2 + 1 + 1


def test_a_further_stream_is_a_happening() -> None:
    """From the second stream on, its beginning is told, beside what it follows."""
    first, second = StreamRecord("MZ1", 0.0), StreamRecord("MZ2", 9)
    record = CallRecord("CA0", "a", "m", streams=[first, second])
    assert happenings(record) == [(9, StreamChange(2, second, first))]


def test_a_takeover_is_told_after_the_stream_it_came_with() -> None:
    """Both have the same time; the new stream is the cause."""
    first, second = StreamRecord("MZ1", 0.0), StreamRecord("MZ2", 9.0)
    move = MoveRecord(MoveCause.TAKEOVER, MoveMoment.ABRUPT, None, 9.0, 9.0, 9.5)
    record = CallRecord("CA0", "a", "m", streams=[first, second], moves=[move])
    assert [found for _, found in happenings(record)] == [StreamChange(2, second, first), move]


def test_a_tool_whose_worker_died_is_not_said_to_have_failed() -> None:
    """It may have been carried out, and how long it took is not known."""
    tool = ToolRecord("1", "book", {}, 2.0, 2.0, "unknown")
    assert tool_verdict(tool) == ("odd", "unknown: its worker died; it may have been carried out")
    assert tool_verdict(ToolRecord("1", "book", {}, 2.0, 2.5, "ok")) == ("good", "500 ms")
    late = ToolRecord("1", "book", {}, 2.0, 12.0, "timeout")
    assert tool_verdict(late) == ("bad", "timeout after 10 s")


@pytest.mark.parametrize("reason", [EndReason.HANDED_OVER, EndReason.TAKEN_OVER])
def test_a_call_that_ends_between_two_workers_ended_badly(reason: EndReason) -> None:
    """Somebody was left in silence, however orderly the one worker let go of them."""
    tone, words = end_of(reason)
    assert tone == "bad"
    assert "not" in words.split() or "nobody" in words.split()


def test_a_move_stands_where_the_old_connection_was_left() -> None:
    """Not where it was wanted, which may be long before; the call lasts until it was done."""
    move = MoveRecord(MoveCause.LOST, MoveMoment.ABRUPT, None, 1.0, 8.0, 28.0)
    record = CallRecord("CA0", "a", "m", moves=[move])
    assert happenings(record) == [(8.0, move)]
    assert duration_s(record) == 28.0


def test_what_was_done_for_the_memory_is_told_among_the_rest() -> None:
    """Cuts, summaries, updates and facts stand where they happened."""
    cut, made = CutRecord(5.0, 900, 400), SummaryMade(3.0, 1.0, "ok", 4, "extract")
    update, fact = UpdateRecord(4.0, "context", "next_move"), FactRecord("name", "Ann", 2.0)
    turn = TurnRecord("caller", "Ann", "Ann", 1.0, 3.5)
    context = ContextRecord(cuts=[cut], summaries=[made], updates=[update])
    record = CallRecord("CA0", "a", "m", turns=[turn], context=context, facts=[fact])
    assert [found for _, found in happenings(record)] == [turn, fact, made, update, cut]


def test_a_fact_that_a_tool_pinned_is_told_once() -> None:
    """The tool tells it; a fact of another key, or of another time, tells itself."""
    args = {"key": " Name", "value": "4111 1111 1111 1111"}
    tool = ToolRecord("1", "remember", args, 2.0, 2.1, "ok", {"output": "done"})
    pinned, other = FactRecord("name", "[card]", 2.05), FactRecord("order", "7", 2.05)
    later = FactRecord("name", "Bob", 60.0)
    record = CallRecord("CA0", "a", "m", tools=[tool], facts=[pinned, other])
    assert [found for _, found in happenings(record)] == [tool, other]
    record.facts = [later]
    assert [found for _, found in happenings(record)] == [tool, later]


def test_a_call_lasts_as_long_as_its_context_is_known() -> None:
    """Where a record breaks off, samples and summaries are the last that is known."""
    context = ContextRecord(samples=[ContextSample(8.0, 100, reported=True)])
    assert duration_s(CallRecord("CA0", "a", "m", context=context)) == 8.0
    context.summaries.append(SummaryMade(7.5, 2.0, "ok", 4, "extract"))
    assert duration_s(CallRecord("CA0", "a", "m", context=context)) == 9.5


def test_keys_without_a_pause_belong_together() -> None:
    """Keys of one side within the pause are one number; another side's are another."""
    digits = [
        DigitRecord("1", 1.0),
        DigitRecord("2", 1.5),
        DigitRecord("9", 2.0, sent=True),
        DigitRecord("3", 9.0),
    ]
    assert grouped_keys(digits) == [
        KeysPressed("12", 1.0, sent=False),
        KeysPressed("9", 2.0, sent=True),
        KeysPressed("3", 9.0, sent=False),
    ]


@pytest.mark.parametrize(
    ("said", "heard", "rest"),
    [
        ("one two three", "one two", "three"),
        ("one two three", "", "one two three"),
        ("one two", "one two", ""),
        ("one  two, three", "one two", "three"),
        ("一二三", "一", "二三"),
        ("one", "one two three", ""),
    ],
)
def test_what_was_not_heard_follows_what_was(said: str, heard: str, rest: str) -> None:
    """The rest begins at the first word that was not heard."""
    assert heard_and_not(TurnRecord("agent", said, heard, 0, 1)) == (heard, rest)


@given(st.text(), st.text())
def test_any_texts_are_split(said: str, heard: str) -> None:
    """Whatever was said and heard, the rest is a part of what was said."""
    assert heard_and_not(TurnRecord("agent", said, heard, 0, 1))[1] in said


def test_only_the_agent_is_cut() -> None:
    """The caller's words are all heard."""
    assert was_cut(TurnRecord("agent", "a b", "a", 0, 1))
    assert not was_cut(TurnRecord("caller", "a b", "a", 0, 1))


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_has_words(reason: EndReason) -> None:
    """No reason for an end is unknown to the reader."""
    assert end_of(reason)[1]


def test_a_call_without_an_end_says_so() -> None:
    """A record without a reason is odd, and lasts until the last thing known of it."""
    assert end_of(None)[0] == "odd"
    record = CallRecord("CA0", "a", "m")
    assert duration_s(record) == 0
    record.barge_ins.append(BargeInRecord(3.0, 100.0))
    record.tools.append(ToolRecord("1", "t", {}, 4.0, 5.0, "ok"))
    assert duration_s(record) == 5.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (7.34, "0:07.3"), (59.96, "1:00.0"), (3725.5, "1:02:05.5"), (-1, "0:00.0")],
)
def test_times(seconds: float, text: str) -> None:
    """A time is minutes, seconds and tenths, with hours where there are some."""
    assert at(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.12, "120 ms"),
        (0.997, "1.0 s"),
        (2.36, "2.4 s"),
        (9.97, "10 s"),
        (48.2, "48 s"),
        (725, "12 min 05 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration has the unit in which it is read at a glance."""
    assert long(seconds) == text


def test_values_of_a_tool_are_plain() -> None:
    """Values are JSON, odd ones their Python form, long ones cut."""
    assert plain({"number": "7", "rush": True}) == 'number "7", rush true'
    assert plain(None) == ""
    assert plain({"deep": {1: 2**70}}).startswith("deep {1: 118")
    assert len(plain({"page": "x" * 5000})) == PLAIN_LETTERS
