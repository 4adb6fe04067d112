"""The record of a call that has a stream, also where its beginning is learned of late."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from agent.checkpoint import SessionCheckpoint
from agent.context.facts import Facts
from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    ContextSample,
    FactRecord,
    StreamRecord,
    SummaryRecord,
    ToolRecord,
    UsageRecord,
)
from workers.call.entry import CallEntry
from workers.call.live_call import LearntCalls, LiveCall, utc_now

NOW = utc_now()


def live_call() -> LiveCall:
    """A call that is served by its third second, as if it had just begun."""
    session = SimpleNamespace(
        context=ContextRecord(samples=[ContextSample(1.0, 100, True)]),
        counters={},
        barge_ins=[],
        digits=[],
        moves=[],
        summary=None,
        usage=UsageRecord(),
    )
    return LiveCall(
        entry=CallEntry("CA1", "AC1", "inbound", "+1", "+2", unclaimed=True),
        before=CallRecord("CA1", "bakery", "m", started_at=NOW.isoformat()),
        stream=StreamRecord("MZ2", 0.0),
        origin_s=10.0,
        transport=cast(Any, SimpleNamespace(counters=Counter())),
        transcript=cast(Any, SimpleNamespace(snapshot=lambda _first=0: [])),
        tools=cast(Any, SimpleNamespace(records=[])),
        session=cast(Any, session),
        facts=Facts(),
        earlier=LearntCalls([], known_s=0.0),
        clock=lambda: 13.0,
    )


def found() -> CallRecord:
    return CallRecord(
        "CA1",
        "bakery",
        "m",
        started_at=(NOW - timedelta(seconds=100)).isoformat(),
        streams=[StreamRecord("MZ1", 0.0, 90.0)],
        tools=[ToolRecord("f1", "book", {"day": "Monday"}, 5.0, 6.0, "ok", {"booked": True})],
        facts=[FactRecord("name", "Ada", 3.0), FactRecord("Size", "large", 4.0)],
        summary=SummaryRecord(caller="Ada"),
    )


def test_what_was_known_before_is_not_forgotten_where_it_is_learned_of_late() -> None:
    """Facts, notes and summary of earlier streams stay; what this stream has is newer."""
    call = live_call()
    call.facts.remember("size", "small", at_s=2.0)
    call.entry.notes.add("of today")
    call.remember(found(), SessionCheckpoint(1.0, "m", notes=("of before",)), now=NOW)
    for record in (call.record(), call.parts({})[0]):
        assert {fact.key: fact.value for fact in record.facts} == {"size": "small", "name": "Ada"}
        assert record.summary is not None
    assert call.entry.notes.texts == ["of before", "of today"]


def test_function_of_an_earlier_worker_is_not_run_again_where_it_is_learned_of_late() -> None:
    """The model is told what it had returned."""
    call = live_call()
    assert call.earlier is not None
    call.remember(found(), now=NOW)
    assert call.earlier.answer("book", {"day": "Monday"}) == {"booked": True}


def test_times_of_a_stream_whose_call_had_begun_before_count_from_there() -> None:
    """The same in the record as in what is journalled."""
    call = live_call()
    call.remember(found(), now=NOW)
    record, parts = call.record(), call.parts({})[1]
    assert [round(sample.at_s) for sample in record.context.samples] == [98]
    assert record.context.samples == parts["context.samples"][1]
    assert [round(stream.started_s) for stream in record.streams] == [0, 97]
