"""What Twilio's messages mean, in their legal order: sans-IO.

The stream is ``opening`` until ``connected``, ``greeted`` until ``start``, then ``streaming`` until
``stop``. Before ``start`` nothing is known of the peer, so whatever is not in the table raises and
the handshake ends. Once streaming, a caller is on the line: what does not fit is counted and
skipped, and only ``stop`` or the end of the socket ends the stream.

**Time.** A media stream is paced by ``timestamp``, not by arrival: congestion delivers frames late
and in bursts, loss on the phone leg delivers later timestamps. The caller's audio is laid on a
timeline that begins with the first frame's timestamp. A frame more than 20 ms further on than
the audio so far is preceded by that much silence, at most ``MAX_SILENCE_MS`` for one gap; late
frames are passed on at once and in the order of arrival, because audio is never dropped. A timeline
that disagrees by more (a clock that was reset, a gap over the bound) is taken as the new truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from telephony.audio.frames import FRAME_MS
from telephony.audio.g711 import BYTES_PER_MS, ulaw_silence
from telephony.errors import RemoteProtocolError
from telephony.media_stream.messages import (
    Connected,
    Dtmf,
    InMessage,
    Mark,
    Media,
    Start,
    Stop,
    Unrecognised,
)

MAX_SILENCE_MS: Final = 2000
"""Longest silence put in for one gap: enough for any speech detector, too short to pile up."""

# A frame that claims to be this much older than the audio so far did not come late: the clock was
# set back. Twilio's timestamps were not seen to do so; without this, gaps would go unnoticed.
_CLOCK_RESET_MS: Final = 1000


class StreamState(StrEnum):
    """Where a stream is in its life."""

    OPENING = "opening"
    GREETED = "greeted"
    STREAMING = "streaming"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Greeted:
    """The peer speaks the protocol."""


@dataclass(frozen=True, slots=True)
class Started:
    """The stream began."""

    start: Start


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """What the caller said next, silence for gaps included."""

    ulaw: bytes
    at_ms: float
    """Where it begins, in milliseconds since the stream began."""


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """One of our marks came back."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing follows."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The message changes nothing; it was counted."""


StreamEvent = Greeted | Started | CallerAudio | DigitPressed | MarkEchoed | Stopped | Skipped

_SKIPPED: Final = Skipped()


class MediaStreamProtocol:
    """One stream as the server sees it: messages in, events out.

    ``counters`` is shared with whoever else counts on this stream.
    """

    def __init__(self) -> None:
        self.state = StreamState.OPENING
        self.start: Start | None = None
        self.counters: Counter[str] = Counter()
        self._sequence = 0
        self._last_chunk = 0
        # The timeline, in samples: how much audio was laid on it, and where its beginning stands,
        # in Twilio's timestamps and in ours, which a clock reset does not set back.
        self._laid = 0
        self._origin: int | None = None
        self._began = 0

    def receive(self, message: InMessage) -> StreamEvent:
        """What the message means.

        Raises:
            RemoteProtocolError: it is not allowed before ``start``.
        """
        handler = _TABLE.get((self.state, type(message)))
        if handler is not None:
            return handler(self, message)
        if isinstance(message, Unrecognised):
            self.counters["media_unrecognised"] += 1
            return _SKIPPED
        if self.state in (StreamState.OPENING, StreamState.GREETED):
            raise RemoteProtocolError(f"{type(message).__name__} while {self.state}")
        self.counters["media_out_of_place"] += 1
        return _SKIPPED

    def _connected(self, _message: Connected) -> StreamEvent:
        self.state = StreamState.GREETED
        return Greeted()

    def _start(self, message: Start) -> StreamEvent:
        self.state = StreamState.STREAMING
        self.start = message
        self._sequence = message.sequence_number
        return Started(message)

    def _media(self, message: Media) -> StreamEvent:
        if self._foreign(message):
            return _SKIPPED
        if message.track != "inbound":
            # The agent's own voice is never echoed on a bidirectional stream; were it one day,
            # the model must not hear itself.
            self.counters["media_other_track"] += 1
            return _SKIPPED
        in_sequence = self._in_sequence(message)
        if in_sequence:
            self._last_chunk = message.chunk
        elif message.chunk == self._last_chunk:
            self.counters["media_repeated"] += 1
            return _SKIPPED
        stands_at = message.timestamp * BYTES_PER_MS
        if self._origin is None:
            self._origin = self._began = stands_at
        audio = message.payload
        gap = stands_at - (self._origin + self._laid)
        if gap > FRAME_MS * BYTES_PER_MS:
            audio = self._fill(gap) + audio
        elif gap < -_CLOCK_RESET_MS * BYTES_PER_MS and in_sequence:
            self.counters["media_clock_resets"] += 1
            self._origin += gap
        at_ms = (self._began + self._laid) / BYTES_PER_MS
        self._laid += len(audio)
        return CallerAudio(audio, at_ms)

    def _fill(self, gap: int) -> bytes:
        """Silence for a gap; what exceeds the bound moves the timeline on instead."""
        silence = min(gap, MAX_SILENCE_MS * BYTES_PER_MS)
        cut = gap - silence
        self.counters["media_gaps"] += 1
        self.counters["media_gap_ms"] += gap // BYTES_PER_MS
        if cut and self._origin is not None:
            self.counters["media_gap_cut_ms"] += cut // BYTES_PER_MS
            self._origin += cut
            self._began += cut
        return ulaw_silence(silence / BYTES_PER_MS)

    def _dtmf(self, message: Dtmf) -> StreamEvent:
        if self._foreign(message):
            return _SKIPPED
        self._in_sequence(message)
        return DigitPressed(message.digit)

    def _mark(self, message: Mark) -> StreamEvent:
        if self._foreign(message):
            return _SKIPPED
        self._in_sequence(message)
        return MarkEchoed(message.name)

    def _stop(self, message: Stop) -> StreamEvent:
        if self._foreign(message):
            return _SKIPPED
        self._in_sequence(message)
        self.state = StreamState.STOPPED
        return Stopped()

    def _foreign(self, message: Media | Dtmf | Mark | Stop) -> bool:
        """Whether the message belongs to another stream; then it is counted."""
        assert self.start is not None
        if message.stream_sid == self.start.stream_sid:
            return False
        self.counters["media_foreign"] += 1
        return True

    def _in_sequence(self, message: Media | Dtmf | Mark | Stop) -> bool:
        number = message.sequence_number
        expected = self._sequence + 1
        if number == expected:
            self._sequence = number
            return True
        if number > expected:
            # TCP loses nothing, so these were never sent: Twilio drops caller audio when the
            # server reads too slowly (warning 31930).
            self.counters["media_missing"] += number - expected
            self._sequence = number
            return True
        self.counters["media_out_of_order"] += 1
        return False


_TABLE: Final[
    dict[tuple[StreamState, type[Any]], Callable[[MediaStreamProtocol, Any], StreamEvent]]
] = {
    (StreamState.OPENING, Connected): MediaStreamProtocol._connected,
    (StreamState.GREETED, Start): MediaStreamProtocol._start,
    (StreamState.STREAMING, Media): MediaStreamProtocol._media,
    (StreamState.STREAMING, Dtmf): MediaStreamProtocol._dtmf,
    (StreamState.STREAMING, Mark): MediaStreamProtocol._mark,
    (StreamState.STREAMING, Stop): MediaStreamProtocol._stop,
}
