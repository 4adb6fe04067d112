from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from telephony.errors import MalformedMessage
from telephony.media_stream.codec import MAX_MESSAGE_CHARS, Encoder, decode
from telephony.media_stream.messages import (
    Connected,
    Dtmf,
    Mark,
    Media,
    MediaFormat,
    OutClear,
    OutMark,
    OutMedia,
    OutMessage,
    Start,
    Stop,
    Unrecognised,
)

DATA = Path(__file__).parents[2] / "data" / "twilio"
STREAM = "MZ0a1b2c3d4e5f60718293a4b5c6d7e8f9"
ACCOUNT = "AC2b1d4a6c8e0f3a5c7e9d1b3f5a7c9e1d"
CALL = "CA9f8e7d6c5b4a39281706f5e4d3c2b1a0"


def lines(name: str) -> list[str]:
    return (DATA / name).read_text().splitlines()


def test_every_message_of_twilio_is_read() -> None:
    """Documented messages, strings for numbers and all, become plain data."""
    connected, start, media, dtmf, mark, stop = map(decode, lines("inbound.jsonl"))
    assert connected == Connected("Call", "1.0.0")
    assert start == Start(
        sequence_number=1,
        stream_sid=STREAM,
        account_sid=ACCOUNT,
        call_sid=CALL,
        tracks=("inbound",),
        media_format=MediaFormat("audio/x-mulaw", 8000, 1),
        custom_parameters={"ticket": "t-1"},
    )
    assert isinstance(media, Media)
    assert (media.sequence_number, media.chunk, media.timestamp) == (2, 1, 73)
    assert (media.track, media.stream_sid, len(media.payload)) == ("inbound", STREAM, 160)
    assert dtmf == Dtmf(3, STREAM, "inbound_track", "5")
    assert mark == Mark(4, STREAM, "g0:3")
    assert stop == Stop(5, STREAM, ACCOUNT, CALL)


def test_messages_are_written_byte_for_byte_as_documented() -> None:
    """No extra member, the stream SID in each, audio in standard base64 (warning 31951)."""
    encoder = Encoder(STREAM)
    messages: list[OutMessage] = [OutMedia(b"\xff\x7e\x7e\xfe"), OutMark("g0:3"), OutClear()]
    assert [encoder.encode(message) for message in messages] == lines("outbound.jsonl")


def test_text_in_messages_is_escaped() -> None:
    """A peer's stream SID cannot break out of our JSON."""
    encoder = Encoder('MZ","event":"x')
    messages: list[OutMessage] = [OutMedia(b"\0"), OutMark('a"b\\'), OutClear()]
    for message in messages:
        assert json.loads(encoder.encode(message))["streamSid"] == 'MZ","event":"x'


def test_unknown_events_are_not_errors() -> None:
    """Peers grow: an event we do not know is said to be so."""
    assert decode('{"event":"weather","sequenceNumber":"7"}') == Unrecognised("weather")


def test_a_start_without_parameters_is_read() -> None:
    """TwiML without <Parameter> leaves the member out or empty."""
    start = json.loads(lines("inbound.jsonl")[1])
    del start["start"]["customParameters"]
    decoded = decode(json.dumps(start))
    assert isinstance(decoded, Start)
    assert decoded.custom_parameters == {}


def media(**changes: Any) -> str:
    message = json.loads(lines("inbound.jsonl")[2])
    message["media"].update(changes)
    return json.dumps(message)


@pytest.mark.parametrize("payload", [b"", bytes(1), bytes(400), bytes(8000)])
def test_any_payload_length_is_read(payload: bytes) -> None:
    """Twilio promises no frame size."""
    decoded = decode(media(payload=b64encode(payload).decode()))
    assert isinstance(decoded, Media)
    assert decoded.payload == payload


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"media"',
        "{}",
        '{"event":7}',
        '{"event":"media"}',
        '{"event":"media","media":[]}',
        '{"event":"start","sequenceNumber":"1","streamSid":"MZ","start":[]}',
        '{"event":"mark","sequenceNumber":"1","streamSid":"MZ","mark":{}}',
        '{"event":"dtmf","sequenceNumber":"x","streamSid":"MZ","dtmf":{"track":"t","digit":"1"}}',
        media(payload="not base64"),
        media(payload="AAA"),
        media(payload=7),
        media(timestamp="-1"),
        media(timestamp="9" * 30),
        json.dumps(
            {"event": "mark", "sequenceNumber": "9" * 30, "streamSid": "MZ", "mark": {"name": "m"}}
        ),
        media(timestamp="9" * 5000),
        media(track=None),
        "[" * 5000,
        " " * (MAX_MESSAGE_CHARS + 1),
        b"\xff\xfe\x00",
        b"",
        "\ud800",
    ],
)
def test_garbage_is_a_declared_error(text: str | bytes) -> None:
    """Whatever is no message raises ``MalformedMessage``, nothing else."""
    with pytest.raises(MalformedMessage):
        decode(text)
