"""Live API messages to events, and caller audio to its message.

Plain audio frames, which are nearly all frames, are read and written directly: the SDK's types
cost 43 μs for what takes 4 μs here (google-genai 2.34, 20-40 ms of audio). Everything else goes
through ``types.LiveServerMessage``. A frame may carry several fields at once and each is read.
Source: ai.google.dev/api/live (BidiGenerateContentServerMessage).
"""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Iterator
from typing import Any

import orjson
from google.genai import types
from pydantic import ValidationError

from agent import events
from agent.audio import INPUT_RATE_HZ, OUTPUT_RATE_HZ, PcmChunk
from agent.text import sendable, sendable_value

LOCAL_ID_PREFIX = "local-"
"""Begins the id of a function call that came without one (seen on Vertex and older models)."""

_AUDIO_HEAD = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=%d","data":"' % INPUT_RATE_HZ
_AUDIO_TAIL = b'"}}}'
_RATE = re.compile(r"audio/pcm(?:\s*;\s*rate=(\d{4,5}))?\s*(?:;.*)?", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
# What a peer may grow to is not ours to bound, what we report of it is.
_MAX_KEYS = 8
_MAX_KEY_CHARS = 64

_local_ids = itertools.count(1)
_rates: dict[str, int] = {"audio/pcm": OUTPUT_RATE_HZ, "audio/pcm;rate=24000": OUTPUT_RATE_HZ}


class _MalformedError(ValueError):
    pass


def encode_audio(pcm: bytes) -> bytes:
    """Write caller audio, PCM16 at 16 kHz, as a ``realtimeInput`` message."""
    return _AUDIO_HEAD + binascii.b2a_base64(pcm, newline=False) + _AUDIO_TAIL


def clean_text(text: str) -> str:
    """Return ``text`` without the characters that end a session."""
    return sendable(text)


def decode(raw: bytes | str) -> list[events.LiveEvent]:
    """Read one frame, text or binary. Never raises: what cannot be read is an event too."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return [events.MalformedReceived("not JSON")]
    if type(message) is not dict:
        return [events.MalformedReceived("not a JSON object")]
    audio: list[events.LiveEvent] = []
    content = message.get("serverContent")
    if type(content) is dict and "modelTurn" in content:
        try:
            plain = _plain_audio(content["modelTurn"])
        except ValueError as error:
            plain = [events.MalformedReceived(f"serverContent.modelTurn: {error}")]
        if plain is not None:
            if len(content) == 1 and len(message) == 1:
                return plain
            audio = plain
            del content["modelTurn"]
    return _through_sdk(message, audio)


def events_of(message: types.LiveServerMessage) -> list[events.LiveEvent]:
    """Read a message that the SDK has parsed; like ``decode`` it never raises."""
    try:
        return list(_events(message, []))
    except ValueError as error:
        return [events.MalformedReceived(_describe(error))]


def _plain_audio(turn: Any) -> list[events.LiveEvent] | None:
    """Read a model turn that is nothing but audio; None leaves it to the SDK's types.

    Raises:
        ValueError: it is audio, and broken.
    """
    parts = turn.get("parts") if type(turn) is dict else None
    if type(parts) is not list:
        return None
    chunks: list[events.LiveEvent] = []
    for part in parts:
        if type(part) is not dict or len(part) != 1:
            return None
        blob = part.get("inlineData")
        if type(blob) is not dict:
            return None
        mime, data = blob.get("mimeType"), blob.get("data")
        if type(mime) is not str or type(data) is not str:
            return None
        rate_hz = _rates.get(mime) or _rate_of(mime)
        if rate_hz is None:
            return None
        if data:
            chunks.append(_audio(_from_base64(data), rate_hz))
    return chunks


def _rate_of(mime: str) -> int | None:
    """Find the rate in ``audio/pcm;rate=24000``; Vertex leaves it out and means 24 kHz."""
    match = _RATE.fullmatch(mime)
    if match is None:
        return None
    rate_hz = int(match[1] or OUTPUT_RATE_HZ)
    # Rates that have little in common with 8 kHz, as 24,001 Hz has, take seconds to design a filter
    # for, and all calls would wait for it.
    if not 8_000 <= rate_hz <= 48_000 or rate_hz % 25:
        raise _MalformedError("audio of an unlikely rate")
    return rate_hz


def _from_base64(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # the URL-safe alphabet, or not base64 at all
        pass
    try:
        return binascii.a2b_base64(data.translate(_URL_SAFE), strict_mode=True)
    except ValueError as error:
        raise _MalformedError("audio is not base64") from error


def _audio(pcm: bytes, rate_hz: int) -> events.AudioReceived:
    if len(pcm) % 2:
        raise _MalformedError("audio ends within a sample")
    return events.AudioReceived(PcmChunk(pcm, rate_hz))


def _through_sdk(message: dict[str, Any], audio: list[events.LiveEvent]) -> list[events.LiveEvent]:
    _rename(message)
    unknown: list[str] = []
    parsed: types.LiveServerMessage | None = None
    try:
        try:
            parsed = types.LiveServerMessage.model_validate(message)
        except ValidationError as error:
            unknown = _remove_unknown(message, error)
            parsed = types.LiveServerMessage.model_validate(message)
        found = list(_events(parsed, audio))
    # The SDK's enums raise AttributeError on a value that is not a string.
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        found = [events.MalformedReceived(_describe(error)), *audio]
    if unknown:
        found.append(events.Unrecognised(tuple(unknown)))
    return found


def _rename(message: dict[str, Any]) -> None:
    """Give two fields the names that the SDK's types have for them."""
    usage = message.get("usageMetadata")
    if type(usage) is dict:  # Vertex, as recorded
        for old, new in (
            ("candidatesTokenCount", "responseTokenCount"),
            ("candidatesTokensDetails", "responseTokensDetails"),
        ):
            if old in usage:
                usage.setdefault(new, usage.pop(old))
    activity = message.get("voiceActivity")
    if type(activity) is dict and "type" in activity:  # what the SDK's own converter expects
        activity.setdefault("voiceActivityType", activity.pop("type"))


def _remove_unknown(message: dict[str, Any], error: ValidationError) -> list[str]:
    """Take out of ``message`` what the SDK has no field for, and return the paths."""
    paths: list[str] = []
    for issue in error.errors(include_url=False, include_input=False, include_context=False):
        if issue["type"] != "extra_forbidden":
            raise error
        *parents, last = issue["loc"]
        place: Any = message
        for step in parents:
            place = place[step]
        del place[last]
        if len(paths) < _MAX_KEYS:
            paths.append(".".join(str(step) for step in issue["loc"])[:_MAX_KEY_CHARS])
    return paths


def _describe(error: Exception) -> str:
    """Say what is wrong without repeating what was said in it."""
    if isinstance(error, ValidationError):
        issue = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(step) for step in issue['loc'])}: {issue['type']}"
    if isinstance(error, _MalformedError):
        return str(error)
    return f"unreadable ({type(error).__name__})"


def _events(
    message: types.LiveServerMessage, audio: list[events.LiveEvent]
) -> Iterator[events.LiveEvent]:
    """Put the fields of one message in the order in which they make sense.

    Transcripts come before the audio they run ahead of, ends after what they end.
    """
    if (setup := message.setup_complete) is not None:
        yield events.SetupCompleted(setup.session_id)
    if (content := message.server_content) is not None:
        yield from _content_events(content, audio)
    if (call := message.tool_call) is not None and call.function_calls:
        yield events.ToolCallsRequested(tuple(_function_call(item) for item in call.function_calls))
    if (cancelled := message.tool_call_cancellation) is not None and cancelled.ids:
        yield events.ToolCallsCancelled(tuple(cancelled.ids))
    if (usage := message.usage_metadata) is not None:
        yield events.UsageReported(
            prompt_tokens=usage.prompt_token_count or 0,
            response_tokens=usage.response_token_count or 0,
            total_tokens=usage.total_token_count or 0,
            thoughts_tokens=usage.thoughts_token_count or 0,
            tool_use_prompt_tokens=usage.tool_use_prompt_token_count or 0,
            cached_tokens=usage.cached_content_token_count or 0,
        )
    if (update := message.session_resumption_update) is not None:
        yield events.ResumptionUpdated(
            handle=update.new_handle or None,
            resumable=bool(update.resumable),
            last_consumed_client_message_index=update.last_consumed_client_message_index,
        )
    if (activity := message.voice_activity) is not None and activity.voice_activity_type:
        yield events.VoiceActivityChanged(activity.voice_activity_type.value == "ACTIVITY_START")
    if (signal := message.voice_activity_detection_signal) is not None and signal.vad_signal_type:
        yield events.VoiceActivityChanged(signal.vad_signal_type.value.endswith("_SOS"))
    if (go_away := message.go_away) is not None:
        yield events.GoAwayReceived(_seconds(go_away.time_left))


def _content_events(
    content: types.LiveServerContent, audio: list[events.LiveEvent]
) -> Iterator[events.LiveEvent]:
    if content.interrupted:
        yield events.Interrupted()
    if (heard := content.input_transcription) is not None and (heard.text or heard.finished):
        yield events.InputTranscribed(sendable(heard.text or ""), bool(heard.finished))
    if (said := content.output_transcription) is not None and (said.text or said.finished):
        yield events.OutputTranscribed(sendable(said.text or ""), bool(said.finished))
    for part in (content.model_turn.parts if content.model_turn else None) or ():
        if part.text:
            # Native audio speaks through audio alone; text beside it is thinking, flagged or not.
            yield events.ThoughtReceived(part.text)
        blob = part.inline_data
        if blob is not None and blob.data and (rate_hz := _rate_of(blob.mime_type or "")):
            yield _audio(blob.data, rate_hz)
    yield from audio
    if content.generation_complete:
        yield events.GenerationCompleted()
    if content.turn_complete:
        reason = content.turn_complete_reason
        yield events.TurnCompleted(None if reason is None else reason.value)
    if content.interaction_status is not None:
        yield events.InteractionStatusChanged(content.interaction_status.value)


def _function_call(call: types.FunctionCall) -> events.FunctionCall:
    if not call.name:
        raise _MalformedError("toolCall: a function without a name")
    # The id as it is: a cancellation names the call by it.
    return events.FunctionCall(
        call.id or f"{LOCAL_ID_PREFIX}{next(_local_ids)}",
        sendable(call.name),
        sendable_value(call.args or {}),
    )


def _seconds(duration: str | None) -> float | None:
    """Read a protobuf Duration such as ``50s`` or ``9.5s``; None where it says nothing useful."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", duration or "")
    return float(match[1]) if match else None
