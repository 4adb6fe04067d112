"""Touch tones and opt-outs of a call under way."""

from __future__ import annotations

import pytest

from agent.conversation.record import CallRecord
from workers.call.control import PipelineCallControl


async def noted() -> bool:
    return True


def control_of(record: CallRecord) -> PipelineCallControl:
    return PipelineCallControl(record, opt_out=noted, clock=lambda: 12.5, origin_s=10.0)


async def test_digits_are_played_and_on_the_record() -> None:
    """They are played together, in order; the record says when each key was sent."""
    played: list[str] = []

    async def play(digits: str) -> None:
        played.append(digits)

    record = CallRecord("CA1", "bakery", "model")
    control = control_of(record)
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
    control = control_of(record)
    with pytest.raises(RuntimeError, match="not open"):
        await control.send_digits("1")
    assert record.digits == []


async def test_opt_out_is_on_the_record_and_passed_on() -> None:
    """It is on the record whether or not it could be written elsewhere by now."""
    record = CallRecord("CA1", "bakery", "model")
    assert await control_of(record).opt_out()
    assert record.opted_out
