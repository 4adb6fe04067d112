from __future__ import annotations

from dataclasses import replace

import pytest

from telephony.audio.g711 import ulaw_silence
from telephony.errors import RemoteProtocolError
from telephony.media_stream.messages import (
    Connected,
    Dtmf,
    InMessage,
    Mark,
    Media,
    MediaFormat,
    Start,
    Stop,
    Unrecognised,
)
from telephony.media_stream.protocol import (
    MAX_SILENCE_MS,
    CallerAudio,
    DigitPressed,
    Greeted,
    MarkEchoed,
    MediaStreamProtocol,
    Skipped,
    Started,
    Stopped,
    StreamState,
)

HELLO = Connected("Call", "1.0.0")
START = Start(1, "MZ1", "AC1", "CA1", ("inbound",), MediaFormat("audio/x-mulaw", 8000, 1), {})
FRAME = b"\x11" * 160


def streaming() -> MediaStreamProtocol:
    protocol = MediaStreamProtocol()
    protocol.receive(HELLO)
    protocol.receive(START)
    return protocol


def media(number: int, timestamp: int, payload: bytes = FRAME) -> Media:
    """The ``number``-th message after ``start``, with only media before it."""
    return Media(number + 1, "MZ1", "inbound", number, timestamp, payload)


def test_a_stream_in_order() -> None:
    """Each message of a plain stream becomes the event it stands for."""
    protocol = MediaStreamProtocol()
    messages: list[InMessage] = [
        HELLO,
        START,
        media(1, 73),
        Dtmf(3, "MZ1", "inbound_track", "5"),
        Mark(4, "MZ1", "g0:1"),
        Stop(5, "MZ1", "AC1", "CA1"),
    ]
    assert [protocol.receive(message) for message in messages] == [
        Greeted(),
        Started(START),
        CallerAudio(FRAME, 73.0),
        DigitPressed("5"),
        MarkEchoed("g0:1"),
        Stopped(),
    ]
    assert protocol.state is StreamState.STOPPED
    assert not protocol.counters


@pytest.mark.parametrize("before", [[], [HELLO]])
@pytest.mark.parametrize("message", [media(1, 0), Stop(1, "MZ1", "AC1", "CA1"), Mark(1, "M", "x")])
def test_nothing_comes_before_start(before: list[InMessage], message: InMessage) -> None:
    """Before ``start`` the peer is a stranger: a message out of order ends it."""
    protocol = MediaStreamProtocol()
    for earlier in before:
        protocol.receive(earlier)
    with pytest.raises(RemoteProtocolError):
        protocol.receive(message)


def test_unknown_messages_are_skipped_in_any_state() -> None:
    """Peers grow: what is not known is counted, before ``start`` too."""
    protocol = MediaStreamProtocol()
    assert protocol.receive(Unrecognised("x")) == Skipped()
    protocol.receive(HELLO)
    assert protocol.receive(Unrecognised("x")) == Skipped()
    protocol.receive(START)
    assert protocol.receive(Unrecognised("x")) == Skipped()
    assert protocol.counters == {"media_unrecognised": 3}


@pytest.mark.parametrize("message", [HELLO, START])
def test_a_second_start_changes_nothing(message: InMessage) -> None:
    """Once a caller is on the line, a message out of place is counted and skipped."""
    protocol = streaming()
    assert protocol.receive(message) == Skipped()
    assert protocol.state is StreamState.STREAMING
    assert protocol.counters == {"media_out_of_place": 1}


def test_nothing_follows_stop() -> None:
    """Audio after ``stop`` is no audio."""
    protocol = streaming()
    protocol.receive(Stop(2, "MZ1", "AC1", "CA1"))
    assert protocol.receive(media(2, 0)) == Skipped()


def test_messages_of_another_stream_are_skipped() -> None:
    """A foreign stream SID neither speaks nor stops this stream."""
    protocol = streaming()
    assert protocol.receive(replace(media(1, 0), stream_sid="MZ2")) == Skipped()
    assert protocol.receive(Stop(2, "MZ2", "AC1", "CA1")) == Skipped()
    assert protocol.state is StreamState.STREAMING
    assert protocol.counters["media_foreign"] == 2


def test_the_agent_never_hears_itself() -> None:
    """Only the inbound track is the caller."""
    protocol = streaming()
    assert protocol.receive(replace(media(1, 0), track="outbound")) == Skipped()


def test_a_gap_is_filled_with_as_much_silence() -> None:
    """A timestamp that jumps by 100 ms is preceded by 100 ms of silence."""
    protocol = streaming()
    protocol.receive(media(1, 70))
    assert protocol.receive(media(2, 190)) == CallerAudio(ulaw_silence(100) + FRAME, 90.0)
    assert protocol.receive(media(3, 210)) == CallerAudio(FRAME, 210.0)
    assert protocol.counters == {"media_gaps": 1, "media_gap_ms": 100}


def test_a_long_gap_is_filled_up_to_the_bound() -> None:
    """An hour's jump gives two seconds of silence, and the time after it is the new truth."""
    protocol = streaming()
    protocol.receive(media(1, 0))
    event = protocol.receive(media(2, 3_600_020))
    assert event == CallerAudio(ulaw_silence(MAX_SILENCE_MS) + FRAME, 3_600_020.0 - MAX_SILENCE_MS)
    assert protocol.receive(media(3, 3_600_040)) == CallerAudio(FRAME, 3_600_040.0)
    assert protocol.counters["media_gap_cut_ms"] == 3_600_000 - MAX_SILENCE_MS


def test_jitter_of_a_frame_is_no_gap() -> None:
    """Timestamps are not exact multiples of 20 ms; up to 20 ms nothing is put in."""
    protocol = streaming()
    for number, timestamp in enumerate([73, 95, 111, 150, 153], start=1):
        event = protocol.receive(media(number, timestamp))
        assert isinstance(event, CallerAudio)
        assert event.ulaw == FRAME
    assert not protocol.counters


def test_slow_drift_is_filled_in_the_end() -> None:
    """Timestamps that run 1 ms per frame ahead lose nothing: silence is put in now and then."""
    protocol = streaming()
    length = 0
    for number in range(1, 1001):
        event = protocol.receive(media(number, number * 21))
        assert isinstance(event, CallerAudio)
        length += len(event.ulaw)
    assert abs(length / 8 - 21_000) <= 21


def test_a_burst_is_passed_on_as_it_comes() -> None:
    """Frames that arrive at once carry timestamps 20 ms apart: none is dropped, none added."""
    protocol = streaming()
    events = [protocol.receive(media(number, number * 20)) for number in range(1, 201)]
    assert all(isinstance(event, CallerAudio) and event.ulaw == FRAME for event in events)


@pytest.mark.parametrize("size", [0, 1, 37, 160, 400, 4000])
def test_any_payload_length_keeps_the_timeline(size: int) -> None:
    """The timeline counts bytes, so frames of any length follow each other without a gap."""
    protocol = streaming()
    payload = b"\x22" * size
    for number in range(1, 50):
        event = protocol.receive(media(number, (number - 1) * size // 8, payload))
        assert event == CallerAudio(payload, (number - 1) * size / 8)


def test_frames_out_of_order_are_counted_and_kept() -> None:
    """A late frame is the caller's voice all the same: passed on, and no silence for it."""
    protocol = streaming()
    protocol.receive(media(1, 0))
    protocol.receive(media(3, 40))
    late = protocol.receive(media(2, 20))
    assert isinstance(late, CallerAudio)
    assert late.ulaw == FRAME
    assert protocol.counters["media_out_of_order"] == 1
    assert protocol.counters["media_missing"] == 1


def test_a_repeated_frame_is_dropped() -> None:
    """The same frame again would stutter."""
    protocol = streaming()
    protocol.receive(media(1, 0))
    assert protocol.receive(media(1, 0)) == Skipped()
    assert protocol.counters["media_repeated"] == 1


def test_a_clock_set_back_is_followed() -> None:
    """After a reset of Twilio's clock gaps are noticed again, and our time goes on."""
    protocol = streaming()
    protocol.receive(media(1, 50_000))
    assert protocol.receive(media(2, 0)) == CallerAudio(FRAME, 50_020.0)
    assert protocol.receive(media(3, 20)) == CallerAudio(FRAME, 50_040.0)
    assert protocol.receive(media(4, 140)) == CallerAudio(ulaw_silence(100) + FRAME, 50_060.0)
    assert protocol.counters["media_clock_resets"] == 1
