"""JSON text to messages and back.

Media messages are fifty of a call's fifty-one messages a second, so both ways have a quick path for
them: one parse and one look at the event inwards, one join of constant text outwards.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any, Final

import orjson

from telephony.errors import MalformedMessage
from telephony.media_stream.messages import (
    Connected,
    Dtmf,
    InMessage,
    Mark,
    Media,
    MediaFormat,
    OutMark,
    OutMedia,
    OutMessage,
    Start,
    Stop,
    Unrecognised,
)

# Twilio's frames are about 400 characters. No maximum is documented, so be generous, yet bounded:
# this is more than half a minute of audio in one message.
MAX_MESSAGE_CHARS: Final = 400_000
# Calls end after 24 hours (twilio.com/docs/voice/api/call-resource); anything of this size is not
# a time, and arithmetic on it stays exact.
_MAX_TIMESTAMP_MS: Final = 2**40
# Likewise no count of messages, and what is missing up to it still fits a record's counters.
_MAX_SEQUENCE: Final = 2**40


def decode(text: str | bytes) -> InMessage:
    """One message from the socket.

    Raises:
        MalformedMessage: binary that is no text, no JSON, a field missing or of the wrong type.
    """
    if len(text) > MAX_MESSAGE_CHARS:
        raise MalformedMessage(f"message of {len(text)} characters")
    try:
        data = orjson.loads(text)
    except ValueError as error:
        raise MalformedMessage(f"not JSON: {error}") from error
    try:
        event = data["event"]
        if event == "media":
            media = data["media"]
            timestamp = int(media["timestamp"])
            if not 0 <= timestamp < _MAX_TIMESTAMP_MS:
                raise ValueError(f"timestamp {timestamp}")
            return Media(
                _sequence(data),
                _text(data["streamSid"]),
                _text(media["track"]),
                int(media["chunk"]),
                timestamp,
                a2b_base64(media["payload"], strict_mode=True),
            )
        return _decode_other(event, data)
    except (KeyError, TypeError, ValueError, OverflowError, Base64Error) as error:
        raise MalformedMessage(f"{type(error).__name__}: {error}") from error


def _decode_other(event: object, data: dict[str, Any]) -> InMessage:
    match event:
        case "mark":
            name = _text(data["mark"]["name"])
            return Mark(_sequence(data), _text(data["streamSid"]), name)
        case "dtmf":
            dtmf = data["dtmf"]
            return Dtmf(
                _sequence(data),
                _text(data["streamSid"]),
                _text(dtmf["track"]),
                _text(dtmf["digit"]),
            )
        case "connected":
            return Connected(_text(data["protocol"]), _text(data["version"]))
        case "start":
            return _decode_start(data)
        case "stop":
            stop = data["stop"]
            return Stop(
                _sequence(data),
                _text(data["streamSid"]),
                _text(stop["accountSid"]),
                _text(stop["callSid"]),
            )
        case _:
            return Unrecognised(_text(event))


def _decode_start(data: dict[str, Any]) -> Start:
    start = data["start"]
    media_format = start["mediaFormat"]
    # The SDK leaves the member out where the TwiML has no <Parameter>.
    parameters = start.get("customParameters") or {}
    return Start(
        sequence_number=_sequence(data),
        stream_sid=_text(data["streamSid"]),
        account_sid=_text(start["accountSid"]),
        call_sid=_text(start["callSid"]),
        tracks=tuple(map(_text, start["tracks"])),
        media_format=MediaFormat(
            _text(media_format["encoding"]),
            int(media_format["sampleRate"]),
            int(media_format["channels"]),
        ),
        custom_parameters={_text(name): _text(parameters[name]) for name in parameters},
    )


def _sequence(data: dict[str, Any]) -> int:
    number = int(data["sequenceNumber"])
    if abs(number) < _MAX_SEQUENCE:
        return number
    raise ValueError("sequence number out of range")


def _text(value: object) -> str:
    if type(value) is str:
        return value
    raise TypeError(f"text expected, not {type(value).__name__}")


class Encoder:
    """Writes messages to one stream.

    Twilio takes no extra fields and wants the current stream SID in each message, else it ignores
    the message with warning 31951.
    """

    __slots__ = ("_clear", "_mark", "_media")

    def __init__(self, stream_sid: str) -> None:
        sid = orjson.dumps(stream_sid).decode()
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def encode(self, message: OutMessage) -> str:
        """The text frame for ``message``; binary frames draw warning 31950."""
        if type(message) is OutMedia:
            return f'{self._media}{b2a_base64(message.payload, newline=False).decode("ascii")}"}}}}'
        if type(message) is OutMark:
            return f"{self._mark}{orjson.dumps(message.name).decode()}}}}}"
        return self._clear
