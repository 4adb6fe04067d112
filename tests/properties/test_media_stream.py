"""Rules of the media stream that hold for any input."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.errors import MalformedMessage, MediaSocketClosed, StreamRejected
from telephony.media_stream.codec import Encoder, decode
from telephony.media_stream.handshake import receive_start
from telephony.media_stream.messages import (
    Connected,
    Dtmf,
    InMessage,
    Mark,
    Media,
    MediaFormat,
    OutClear,
    OutMark,
    OutMedia,
    Start,
    Stop,
    Unrecognised,
)
from telephony.media_stream.protocol import (
    MAX_SILENCE_MS,
    CallerAudio,
    MediaStreamProtocol,
    Stopped,
    StreamState,
)
from tests.fakes.media_socket import (
    STREAM_SID,
    FakeMediaSocket,
    connected,
    dtmf,
    mark,
    media,
    start,
    stop,
)

FORMAT = MediaFormat("audio/x-mulaw", 8000, 1)
DECODED = (Connected, Start, Media, Dtmf, Mark, Stop, Unrecognised)

sequence = st.integers(-5, 10_000)
payloads = st.binary(max_size=500)
in_order = st.builds(media, payloads, sequence, sequence, st.integers(0, 2**40 - 1))
valid = st.one_of(
    st.builds(connected),
    st.builds(start, ticket=st.one_of(st.none(), st.text(max_size=20))),
    in_order,
    st.builds(dtmf, st.text(max_size=2), sequence),
    st.builds(mark, st.text(max_size=20), sequence),
    st.builds(stop, sequence),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A message of Twilio's with one member replaced or gone, at any depth."""
    message = draw(valid)
    target = message
    while True:
        key = draw(st.sampled_from(sorted(target)))
        if isinstance(target[key], dict) and target[key] and draw(st.booleans()):
            target = target[key]
            continue
        if draw(st.booleans()):
            del target[key]
        else:
            target[key] = draw(json_values)
        return json.dumps(message)


anything = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200),
    valid.map(json.dumps),
    damaged(),
    json_values.map(json.dumps),
    valid.map(json.dumps).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda end: text[:end])
    ),
)


@given(anything)
def test_any_bytes_are_a_message_or_a_declared_error(text: str | bytes) -> None:
    """Whatever comes, ``decode`` gives a message or ``MalformedMessage``."""
    with suppress(MalformedMessage):
        assert isinstance(decode(text), DECODED)


@given(st.lists(anything, max_size=12))
def test_any_opening_starts_a_stream_or_is_rejected(opening: list[str | bytes]) -> None:
    """Whatever a stranger sends first, a stream starts or is rejected, and nothing else happens."""

    async def shake_hands() -> None:
        socket = FakeMediaSocket()
        for text in opening:
            socket.feed(text)
        socket.feed(MediaSocketClosed(1006))
        with suppress(StreamRejected):
            started = await receive_start(socket, timeout_s=1)
            assert started.start.media_format == FORMAT

    asyncio.run(shake_hands())


@st.composite
def messages(draw: st.DrawFn) -> list[InMessage]:
    """Decoded messages of a running stream in any order."""
    texts = draw(st.lists(st.one_of(valid.map(json.dumps), damaged()), max_size=40))
    decoded: list[InMessage] = []
    for text in texts:
        try:
            decoded.append(decode(text))
        except MalformedMessage:
            continue
    return decoded


def running() -> MediaStreamProtocol:
    protocol = MediaStreamProtocol()
    protocol.receive(Connected("Call", "1.0.0"))
    protocol.receive(Start(1, STREAM_SID, "AC1", "CA1", ("inbound",), FORMAT, {}))
    return protocol


@given(messages())
def test_a_running_stream_takes_any_order(stream: list[InMessage]) -> None:
    """Nothing raises; audio is contiguous or jumps ahead, silence is bounded, stop is final."""
    protocol = running()
    end_ms: float | None = None
    for message in stream:
        stopped = protocol.state is StreamState.STOPPED
        event = protocol.receive(message)
        if isinstance(event, Stopped):
            assert protocol.state is StreamState.STOPPED
            assert not stopped
        if isinstance(event, CallerAudio):
            assert not stopped
            assert isinstance(message, Media)
            silence = len(event.ulaw) - len(message.payload)
            assert 0 <= silence <= MAX_SILENCE_MS * 8
            assert event.ulaw.endswith(message.payload)
            assert end_ms is None or event.at_ms >= end_ms
            end_ms = event.at_ms + len(event.ulaw) / 8


@given(st.binary(min_size=1, max_size=3000), st.lists(st.integers(1, 400), max_size=20))
def test_any_split_of_the_audio_gives_the_same_audio(speech: bytes, cuts: list[int]) -> None:
    """However Twilio cuts the caller's audio, the same bytes come out on the same timeline."""
    protocol = running()
    heard, at = b"", 0
    for number, size in enumerate([*cuts, len(speech)], start=1):
        piece = speech[at : at + size]
        event = protocol.receive(
            Media(number + 1, STREAM_SID, "inbound", number, 70 + at // 8, piece)
        )
        assert isinstance(event, CallerAudio)
        assert event.at_ms == 70 + at / 8
        heard += event.ulaw
        at += len(piece)
    assert heard == speech
    assert not protocol.counters


@given(st.permutations(range(1, 9)))
@settings(max_examples=50)
def test_no_frame_is_lost_in_any_order(order: list[int]) -> None:
    """Frames in any order of arrival all come out; only silence may be added."""
    protocol = running()
    heard = b""
    for number in order:
        frame = bytes([number]) * 160
        event = protocol.receive(
            Media(number + 1, STREAM_SID, "inbound", number, number * 20, frame)
        )
        assert isinstance(event, CallerAudio)
        heard += event.ulaw
    assert heard.replace(b"\xff", b"") == b"".join(bytes([number]) * 160 for number in order)


@given(payloads, st.text(max_size=40), st.text(max_size=40))
def test_what_we_write_is_json_that_says_the_same(
    payload: bytes, name: str, stream_sid: str
) -> None:
    """Every message written is one JSON object with exactly the documented members."""
    encoder = Encoder(stream_sid)
    written = orjson.loads(encoder.encode(OutMedia(payload)))
    as_inbound = Media(1, stream_sid, "inbound", 1, 0, payload)
    assert set(written) == {"event", "streamSid", "media"}
    written["media"] |= {"track": "inbound", "chunk": "1", "timestamp": "0"}
    assert decode(orjson.dumps({**written, "sequenceNumber": "1"})) == as_inbound
    assert orjson.loads(encoder.encode(OutMark(name))) == {
        "event": "mark",
        "streamSid": stream_sid,
        "mark": {"name": name},
    }
    assert orjson.loads(encoder.encode(OutClear())) == {"event": "clear", "streamSid": stream_sid}
