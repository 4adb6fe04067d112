"""Whose connections they are, when frames came, and what the model itself took."""

from __future__ import annotations

import pytest

from tests.workers.loadtest.bridged import (
    LIVE_FRAME_BYTES,
    LIVE_RATE_HZ,
    NUMBER,
    RANG_AT,
    session_log,
)
from workers.loadtest.live_side import (
    Arrived,
    Connected,
    connections_of,
    count_caller,
    look_into,
    model_took_s,
    turns_of,
)
from workers.loadtest.measured import FramesCounted
from workers.twin import position_code
from workers.twin.live_api.session_log import SaidTurn, SessionLog


def log_of(pcm: bytes, *, message_bytes: int = LIVE_FRAME_BYTES) -> SessionLog:
    """A connection that got this, 20 ms of it every 20 ms from the ring on, in such messages."""
    log = session_log(NUMBER)
    for at in range(0, len(pcm), message_bytes):
        whole = min(len(pcm), at + message_bytes)
        log.audio(pcm[at:whole], LIVE_RATE_HZ, RANG_AT + (whole // LIVE_FRAME_BYTES) * 0.02)
    return log


def codes(first: int, count: int) -> bytes:
    return position_code.encode_run(first, count, rate_hz=LIVE_RATE_HZ, loud=False)


def counted(*connections: Connected, unsent: tuple[tuple[float, float], ...] = ()) -> FramesCounted:
    return count_caller(connections, counts_from=RANG_AT, unsent=unsent)


def test_connections_are_told_by_whom_they_were_told_of() -> None:
    """The instruction names the caller; one that names none belongs to nobody."""
    logs = [session_log(NUMBER), session_log(NUMBER + 1), session_log(None), session_log(NUMBER)]
    assert connections_of(logs, NUMBER) == [logs[0], logs[3]]
    assert connections_of(logs, 99) == []


def test_arrival_is_that_of_the_message() -> None:
    """Where a message brings five frames, all of them come with it."""
    found = look_into(log_of(codes(0, 20), message_bytes=5 * LIVE_FRAME_BYTES), counts_from=RANG_AT)
    assert [one.number for one in found.frames] == list(range(20))
    assert found.arrival_of(4) == pytest.approx(RANG_AT + 0.1)
    assert found.arrival_of(5) == pytest.approx(RANG_AT + 0.2)
    assert found.arrival_of(20) is None


@pytest.mark.parametrize("offset_ms", [0, 2, 10])
def test_frames_that_a_bridge_threw_away(offset_ms: int) -> None:
    """One at a time, however its own frames lie against the caller's."""
    cut = (40 * 20 + offset_ms) * LIVE_RATE_HZ // 500
    pcm = codes(0, 100)
    found = look_into(log_of(pcm[:cut] + pcm[cut + LIVE_FRAME_BYTES :]), counts_from=RANG_AT)
    assert counted(found) == FramesCounted(100, 1, 0)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ((10, 40), FramesCounted(40, 0, 0)),
        ((20, 30), FramesCounted(40, 10, 0)),
        ((10, 20), FramesCounted(40, 20, 0)),
        ((4, 60), FramesCounted(60, 0, 0)),
        ((0, 0), FramesCounted(40, 40, 0)),
    ],
)
def test_frames_that_never_came_at_either_end(
    got: tuple[int, int], expected: FramesCounted
) -> None:
    """They are lost where they were owed, as all are where the model never heard a thing."""
    first, count = got
    pcm = bytes(first * LIVE_FRAME_BYTES) + codes(first, count)
    found = look_into(log_of(pcm), counts_from=RANG_AT)
    owed = (RANG_AT + 10.5 * 0.02, RANG_AT + 49.5 * 0.02)
    assert count_caller([found], counts_from=RANG_AT, unsent=(), owed=owed) == expected
    assert count_caller([], counts_from=RANG_AT, unsent=(), owed=owed) == FramesCounted()


def test_silence_in_place_of_a_frame() -> None:
    """What was filled in is not what the caller said."""
    pcm = codes(0, 40) + bytes(LIVE_FRAME_BYTES) + codes(41, 40)
    assert counted(look_into(log_of(pcm), counts_from=RANG_AT)) == FramesCounted(81, 1, 0)


def test_noise_that_looks_like_a_number() -> None:
    """It is nowhere near its time."""
    pcm = codes(0, 40) + codes(9000, 1) + codes(41, 40)
    assert counted(look_into(log_of(pcm), counts_from=RANG_AT)).sent == 81


def test_nothing_came() -> None:
    """Nothing is counted, and nothing was lost."""
    assert counted(look_into(session_log(NUMBER), counts_from=RANG_AT)) == FramesCounted()


def took(*connections: Connected, heard: float = 12.0) -> float | None:
    return model_took_s(connections, 7, asked=10.0, heard=heard)


def test_what_the_model_took() -> None:
    """From the question's last frame to the newest turn before the answer was heard."""
    first = Connected((Arrived(7, 10.1),), 0, (4.0, 10.7, 15.0))
    assert took(first) == pytest.approx(0.6)
    assert took(Connected((), 0, (10.7,))) is None
    assert took(Connected((Arrived(7, 10.1),), 0, (4.0,))) is None
    assert took(Connected((Arrived(7, 10.9),), 0, (10.7,))) is None
    assert took() is None


def test_model_that_answers_on_the_next_connection() -> None:
    """Its question was replayed there: what counts is when it came there."""
    left = Connected((Arrived(7, 10.1),), 0, (4.0,))
    after = Connected((Arrived(7, 10.5),), 0, (11.0,))
    assert took(left, after) == took(after, left) == pytest.approx(0.5)
    assert turns_of([after, left]) == [4.0, 11.0]


def test_turn_without_audio() -> None:
    """A turn that faults kept back has begun for nobody."""
    log = log_of(codes(0, 5))
    log.said += [SaidTurn(RANG_AT + 1.0), SaidTurn(RANG_AT + 2.0, sent_at=RANG_AT + 2.1)]
    assert look_into(log, counts_from=RANG_AT).turns_at == (RANG_AT + 2.1,)
