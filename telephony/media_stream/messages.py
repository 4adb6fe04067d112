"""The messages of Twilio Media Streams, both ways, as plain data.

Field names follow Twilio's own, in snake case; its numbers in strings are numbers here.
Source: twilio.com/docs/voice/media-streams/websocket-messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message on the socket; it has no sequence number and no stream SID."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """How audio is encoded, both ways."""

    encoding: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins: which call it belongs to, and what the TwiML passed along."""

    sequence_number: int
    stream_sid: str
    account_sid: str
    call_sid: str
    tracks: tuple[str, ...]
    media_format: MediaFormat
    custom_parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Media:
    """Audio of the caller, of any length."""

    sequence_number: int
    stream_sid: str
    track: str
    chunk: int
    """Counts media messages from 1."""
    timestamp: int
    """Milliseconds of presentation time since the stream began; neither wall time nor even."""
    payload: bytes
    """µ-law."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key."""

    sequence_number: int
    stream_sid: str
    track: str
    """``inbound_track``, unlike the ``inbound`` of media."""
    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The echo of our mark: all before it was played, or flushed by a clear."""

    sequence_number: int
    stream_sid: str
    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream stopped or the call ended; it does not say which, nor why."""

    sequence_number: int
    stream_sid: str
    account_sid: str
    call_sid: str


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A well-formed message of an event we do not know; peers grow."""

    event: str


InMessage = Connected | Start | Media | Dtmf | Mark | Stop | Unrecognised


@dataclass(frozen=True, slots=True)
class OutMedia:
    """Audio for the caller, appended to what Twilio has queued."""

    payload: bytes
    """µ-law."""


@dataclass(frozen=True, slots=True)
class OutMark:
    """Asks for an echo once all audio queued before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class OutClear:
    """Empties Twilio's queue; every outstanding mark is echoed at once."""


OutMessage = OutMedia | OutMark | OutClear
