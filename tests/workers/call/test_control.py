"""Touch tones and opt-outs of a call under way."""

from __future__ import annotations

import pytest

from agent.conversation.record import CallRecord
from tests.fakes.store import MemoryCallStore
from workers.call.control import PipelineCallControl


def control_of(record: CallRecord, store: MemoryCallStore) -> PipelineCallControl:
    return PipelineCallControl(record, store, clock=lambda: 12.5, origin_s=10.0)


async def test_digits_are_played_and_on_the_record() -> None:
    """They are played together, in order; the record says when each key was sent."""
    played: list[str] = []

    async def play(digits: str) -> None:
        played.append(digits)

    record = CallRecord("CA1", "bakery", "model")
    control = control_of(record, MemoryCallStore())
    control.attach(play)
    await control.send_digits("1,*#")
    assert played == ["1,*#"]
    assert [(digit.digit, digit.at_s, digit.sent) for digit in record.digits] == [
        ("1", 2.5, True),
        ("*", 2.5, True),
        ("#", 2.5, True),
    ]


async def test_digits_without_a_stream_are_an_error() -> None:
    """Before the pipeline runs, and after it ended, the model is told that it cannot."""
    record = CallRecord("CA1", "bakery", "model")
    control = control_of(record, MemoryCallStore())
    with pytest.raises(RuntimeError, match="not open"):
        await control.send_digits("1")
    assert record.digits == []


async def test_opt_out_is_kept_at_once() -> None:
    """It is on the record and in the store, because it must outlive this process."""
    record = CallRecord("CA1", "bakery", "model")
    store = MemoryCallStore()
    await control_of(record, store).opt_out()
    assert record.opted_out
    stored = await store.load_events("CA1")
    assert [event.kind for event in stored] == ["opt_out"]
