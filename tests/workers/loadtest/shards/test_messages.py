"""What leader and shards tell each other, as lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.workers.loadtest.measured_samples import answered, call, calls
from workers.loadtest.arrivals import Part
from workers.loadtest.measured import CallMeasured, OwnSlip
from workers.loadtest.plan import Plan
from workers.loadtest.result import Machine
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    Going,
    Hold,
    Left,
    Message,
    OwnWorker,
    Prepare,
    Ready,
    SendWavs,
    TimeTold,
    WavPiece,
    WhatTime,
)
from workers.loadtest.shards.pipe import from_line, to_line
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import decode_sums, encode_sums

SLIP = OwnSlip(900, 0.4, 2.0, 0.0)


@pytest.mark.parametrize(
    "message",
    [
        Prepare(Plan(), Part(1, 3), OwnWorker("http://a/voice", "", "/tmp/desk")),
        Prepare(Plan(), Part()),
        WhatTime(1.5),
        Begin(1_764_000_000.25),
        Hold(),
        BreakOff(),
        SendWavs((3, 9)),
        Ready("host-a", Machine("Any", 2, "3.11.9", "0.1.0"), "http://127.0.0.1:1"),
        TimeTold(1.5, 2.5),
        Going(3, 7, SLIP),
        Finished(SLIP, encode_sums(sums_of([call(answers=answered(12.0))]))),
        WavPiece(3, "AAAA"),
        Left(),
        Failed("It is late."),
    ],
)
def test_written_and_read_again(message: Message) -> None:
    """Each is one line."""
    line = to_line(message)
    assert line.index(b"\n") == len(line) - 1
    assert from_line(line) == message


@settings(max_examples=30, deadline=None)
@given(calls)
def test_call_is_the_same_at_the_other_end(one: CallMeasured) -> None:
    """Whatever was measured."""
    assert from_line(to_line(CallOver(one))) == CallOver(one)


def test_sums_of_a_shard_are_read_again() -> None:
    """With every histogram."""
    sums = sums_of([call(answers=answered(12.0, 30.0))])
    told = from_line(to_line(Finished(SLIP, encode_sums(sums))))
    assert isinstance(told, Finished)
    assert decode_sums(dict(told.sums)) == sums


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{}\n", "no message of a load test"),
        (b"[]\n", "no message of a load test"),
        (b'{"kind": "Sing", "body": {}}\n', "no message of a load test"),
        (b'{"kind": "Begin", "body": {}}\n', "at"),
        (b'{"kind": "Begin", "body": {"at": 1.0, "for": 2}}\n', "for: is not known"),
        (b"Traceback (most recent call last):\n", "unexpected character"),
    ],
)
def test_anything_else_is_refused(line: bytes, why: str) -> None:
    """By its place, as what another version says."""
    with pytest.raises(ValueError, match=why):
        from_line(line)
