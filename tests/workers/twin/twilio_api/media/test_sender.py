"""Numbering of a stream's messages, and the faults that spoil it."""

from __future__ import annotations

import json
from typing import Any

from workers.twin.twilio_api.media.sender import Sender


def read(texts: list[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts]


def started() -> Sender:
    sender = Sender("MZ1", "AC1", "CA1")
    sender.start({})
    return sender


def test_sequence_is_one_ahead_of_chunk_and_timestamps_step_by_twenty() -> None:
    """With nothing but ``start`` before it, a frame's numbers are those of the published one."""
    sender = started()
    frames = [read(sender.media("AA==", n * 0.02))[0] for n in range(925)]
    last = frames[-1]
    assert (last["sequenceNumber"], last["media"]["chunk"]) == ("926", "925")
    assert last["media"]["timestamp"] == "18553"


def test_withheld_messages_leave_as_a_burst_in_order() -> None:
    """Frames, keys and marks wait together and keep their order."""
    sender = started()
    sender.hold(1.0)
    assert sender.media("AA==", 0.5) == []
    assert sender.dtmf("5", 0.6) == []
    assert sender.marks(["m"], 0.7) == []
    burst = read(sender.media("AA==", 1.0))
    assert [message["event"] for message in burst] == ["media", "dtmf", "mark", "media"]
    assert [message["sequenceNumber"] for message in burst] == ["2", "3", "4", "5"]
    assert len(sender.media("AA==", 1.02)) == 1


def test_reordered_frames_leave_in_reverse() -> None:
    """The numbers tell what the order should have been."""
    sender = started()
    sender.reorder(3)
    assert sender.media("AA==", 0) == sender.media("AA==", 0) == []
    assert [m["media"]["chunk"] for m in read(sender.media("AA==", 0))] == ["3", "2", "1"]
    assert [m["media"]["chunk"] for m in read(sender.media("AA==", 0))] == ["4"]


def test_skipped_time_jumps_once() -> None:
    """After a loss on the phone leg the timestamps go on from where they are."""
    sender = started()
    sender.media("AA==", 0)
    sender.skip(500)
    stamps = [read(sender.media("AA==", 0))[0]["media"]["timestamp"] for _ in range(2)]
    assert stamps == ["593", "613"]


def test_stop_lets_go_of_what_is_withheld() -> None:
    """Nothing written is lost when the call ends in the middle of a burst."""
    sender = started()
    sender.hold(99.0)
    sender.media("AA==", 0)
    assert [message["event"] for message in read(sender.stop())] == ["media", "stop"]
