"""The messages of a media stream, as Twilio writes them and as strictly as it reads them.

Source: twilio.com/docs/voice/media-streams/websocket-messages; errors 31950, 31951, 31924.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Media:
    """Audio to append to the queue."""

    ulaw: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark to echo when what was queued before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Empty the queue."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A message that is not one of the three; ``fatal`` ones end the stream."""

    code: int
    text: str
    fatal: bool = False


FromServer = Media | Mark | Clear | Invalid

_MEDIA_KEYS = {"event", "streamSid", "media"}
_MARK_KEYS = {"event", "streamSid", "mark"}
_CLEAR_KEYS = {"event", "streamSid"}


def read(text: bytes, stream_sid: str) -> FromServer:
    """Read one text frame from the server."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Invalid(31924, f"not JSON: {error}", fatal=True)
    if not isinstance(message, dict):
        return Invalid(31924, "not a JSON object", fatal=True)
    if message.get("streamSid") != stream_sid:
        return Invalid(31951, f"streamSid {message.get('streamSid')!r} is not this stream's")
    return _read_known(message)


def _read_known(message: dict[str, Any]) -> FromServer:
    match message:
        case {"event": "media", "media": {"payload": str(payload), **rest}}:
            extra = message.keys() - _MEDIA_KEYS | rest.keys()
            return _unless_extra(extra, lambda: _media(payload))
        case {"event": "mark", "mark": {"name": str(name), **rest}}:
            return _unless_extra(message.keys() - _MARK_KEYS | rest.keys(), lambda: Mark(name))
        case {"event": "clear"}:
            return _unless_extra(message.keys() - _CLEAR_KEYS, Clear)
        case {"event": "media" | "mark" as event}:
            return Invalid(31951, f"{event} message without its contents")
    return Invalid(31951, f"unknown event {message.get('event')!r}")


def _unless_extra(extra: set[Any], make: Callable[[], FromServer]) -> FromServer:
    if extra:
        return Invalid(31951, f"extra fields: {', '.join(sorted(extra))}")
    return make()


def _media(payload: str) -> FromServer:
    try:
        return Media(base64.b64decode(payload, validate=True))
    except (binascii.Error, ValueError) as error:
        return Invalid(31951, f"payload is not base64: {error}")


CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def start(
    stream_sid: str,
    *,
    sequence: int,
    account_sid: str,
    call_sid: str,
    parameters: Mapping[str, str],
) -> str:
    """Write ``start``."""
    return _write(
        {
            "event": "start",
            "sequenceNumber": str(sequence),
            "streamSid": stream_sid,
            "start": {
                "accountSid": account_sid,
                "streamSid": stream_sid,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(parameters),
            },
        }
    )


def media(stream_sid: str, *, sequence: int, chunk: int, timestamp_ms: int, payload: str) -> str:
    """Write ``media``; put together by hand, since it is sent fifty times a second."""
    return (
        f'{{"event":"media","sequenceNumber":"{sequence}","streamSid":"{stream_sid}",'
        f'"media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp_ms}",'
        f'"payload":"{payload}"}}}}'
    )


def dtmf(stream_sid: str, *, sequence: int, digit: str) -> str:
    """Write ``dtmf``; its track really is called ``inbound_track``."""
    return _write(
        {
            "event": "dtmf",
            "streamSid": stream_sid,
            "sequenceNumber": str(sequence),
            "dtmf": {"track": "inbound_track", "digit": digit},
        }
    )


def mark(stream_sid: str, *, sequence: int, name: str) -> str:
    """Write the echo of a mark."""
    return _write(
        {
            "event": "mark",
            "sequenceNumber": str(sequence),
            "streamSid": stream_sid,
            "mark": {"name": name},
        }
    )


def stop(stream_sid: str, *, sequence: int, account_sid: str, call_sid: str) -> str:
    """Write ``stop``; it carries no reason."""
    return _write(
        {
            "event": "stop",
            "sequenceNumber": str(sequence),
            "streamSid": stream_sid,
            "stop": {"accountSid": account_sid, "callSid": call_sid},
        }
    )


def _write(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()
