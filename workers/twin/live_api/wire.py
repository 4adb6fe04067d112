"""JSON frames of the Live API: client frames to messages, server messages to frames.

Server frames are binary, as the real server's are. Audio goes out in the standard base64 alphabet;
clients may send either alphabet (google-genai sends the URL-safe one).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import orjson

from workers.twin.live_api import schema
from workers.twin.live_api.messages import (
    ActivityEndIn,
    ActivityStartIn,
    AudioIn,
    AudioStreamEndIn,
    ClientMessage,
    ContentIn,
    ContextUpdateIn,
    FunctionAnswer,
    LegacyMediaIn,
    RefusedError,
    TextIn,
    ToolResponseIn,
    VideoIn,
    invalid,
)

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
INPUT_RATE_HZ = 16_000  # What audio is without a rate in its mime type.
_USUAL_MIME = f"audio/pcm;rate={INPUT_RATE_HZ}"
_REALTIME_INPUT = ("realtimeInput", "realtime_input")


def parse(frame: str | bytes) -> dict[str, Any]:
    """Return a client frame as JSON with camelCase names.

    Raises:
        RefusedError: 1007, not one JSON object with exactly one known top-level key.
    """
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise invalid("Invalid JSON payload received.") from error
    message: dict[str, Any] = schema.check(value, schema.CLIENT_MESSAGE, "")
    if len(message) != 1:
        raise invalid()
    return message


def plain_audio(frame: bytes) -> AudioIn | None:
    """Read a frame that carries audio as clients usually write it, quickly; None for any other."""
    try:
        ((name, body),) = orjson.loads(frame).items()
        ((kind, blob),) = body.items()
        if name not in _REALTIME_INPUT or kind != "audio" or len(blob) != 2:
            return None
        mime = blob["mimeType" if "mimeType" in blob else "mime_type"]
        if mime != _USUAL_MIME:
            return None
        return AudioIn(_pcm(blob["data"]), INPUT_RATE_HZ)
    except (ValueError, AttributeError, KeyError, TypeError):
        # ``parse`` and ``decode`` know what is wrong with it, if anything is.
        return None


def decode(message: dict[str, Any]) -> ClientMessage:
    """Return a parsed frame other than ``setup`` as a message.

    Raises:
        RefusedError: The connection closes: a combination or content that the server refuses.
    """
    (key, body), *_ = message.items()
    match key:
        case "realtimeInput":
            return _realtime_input(body)
        case "clientContent":
            return _client_content(body)
        case "toolResponse":
            return ToolResponseIn(tuple(map(_answer, body.get("functionResponses", []))))
        case "contextUpdate":
            content = body.get("systemInstruction")
            return ContextUpdateIn(None if content is None else content_text(content))
        case _:
            # A second setup: the configuration of an open connection cannot change.
            raise invalid()


def content_text(content: dict[str, Any]) -> str:
    """Return the text of a ``Content``, its parts joined."""
    return "".join(part.get("text", "") for part in content.get("parts", []))


def _realtime_input(body: dict[str, Any]) -> ClientMessage:
    if len(body) != 1:
        raise invalid()
    (key, value), *_ = body.items()
    match key:
        case "audio":
            return _audio(value)
        case "text":
            return TextIn(value)
        case "mediaChunks":
            return LegacyMediaIn(
                tuple(_audio(blob) for blob in value if blob["mimeType"].startswith("audio/"))
            )
        case "activityStart":
            return ActivityStartIn()
        case "activityEnd":
            return ActivityEndIn()
        case "audioStreamEnd":
            return AudioStreamEndIn()
        case _:
            return VideoIn()


def _audio(blob: dict[str, Any]) -> AudioIn:
    mime, *parameters = blob.get("mimeType", "").replace(" ", "").split(";")
    rates = [one[5:] for one in parameters if one.startswith("rate=")]
    rate = rates[0] if rates else str(INPUT_RATE_HZ)
    if mime != "audio/pcm" or not re.fullmatch(r"[1-9]\d{3,5}", rate):
        raise invalid()
    try:
        return AudioIn(_pcm(blob.get("data", "")), int(rate))
    except ValueError as error:
        raise invalid() from error


def _pcm(text: str) -> bytes:
    """Decode base64.

    Raises:
        ValueError: it is none.
    """
    data = text.encode("ascii")
    if b"-" in data or b"_" in data:
        data = data.translate(_URL_SAFE)
    # Padding may be left off, as protobuf JSON allows.
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def _client_content(body: dict[str, Any]) -> ContentIn:
    turns = []
    for content in body.get("turns", []):
        for part in content.get("parts", []):
            if "fileData" in part:  # discuss.ai.google.dev/t/137660
                raise RefusedError(1008, "Operation is not implemented, or supported, or enabled")
            if part.keys() - {"text", "thought", "thoughtSignature"}:
                raise invalid()
        turns.append((content.get("role", "user"), content_text(content)))
    return ContentIn(tuple(turns), body.get("turnComplete", False))


def _answer(body: dict[str, Any]) -> FunctionAnswer:
    response = body.get("response", {})
    if not isinstance(response, dict):
        raise invalid()
    # Google's guide puts `scheduling` inside the response, the schema beside it: both count.
    scheduling = body.get("scheduling") or response.get("scheduling", "")
    return FunctionAnswer(
        id=body.get("id", ""),
        name=body.get("name", ""),
        response=response,
        scheduling=str(scheduling),
        will_continue=body.get("willContinue", False),
    )


def encode(message: dict[str, Any]) -> bytes:
    """Return a server message as the binary frame's content."""
    return orjson.dumps(message)


def audio_part(pcm: bytes, mime_type: str) -> dict[str, Any]:
    """Build the part of a ``modelTurn`` that carries audio."""
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(pcm).decode("ascii")}}


def audio_frame(pcm: bytes, mime_type: str) -> bytes:
    """Build a whole frame that carries nothing but audio, quickly."""
    return (
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"%s","data":"%s"}}]}}}'
        % (
            mime_type.encode("ascii"),
            base64.b64encode(pcm),
        )
    )
