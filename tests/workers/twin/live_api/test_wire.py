"""Frames of the simulated server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.twin.live_api import wire
from workers.twin.live_api.messages import (
    AudioIn,
    ContentIn,
    ContextUpdateIn,
    FunctionAnswer,
    LegacyMediaIn,
    RefusedError,
    TextIn,
    ToolResponseIn,
)

# Bytes whose base64 has both letters in which the alphabets differ.
_PCM = bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFF, 0xFE])


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("names", [("realtimeInput", "mimeType"), ("realtime_input", "mime_type")])
def test_audio_is_read_in_both_alphabets_and_spellings(
    encode: Callable[[bytes], bytes],
    names: tuple[str, str],
) -> None:
    """google-genai sends URL-safe base64 and snake case; raw clients send the other."""
    data = encode(_PCM).decode()
    frame = json.dumps({names[0]: {"audio": {names[1]: "audio/pcm;rate=8000", "data": data}}})
    assert wire.decode(wire.parse(frame)) == AudioIn(_PCM, 8000)


@pytest.mark.parametrize("text", ["bell \\u0007", "nul \\u0000", "half \\ud800"])
@pytest.mark.parametrize(
    "setup",
    [
        '{"systemInstruction":{"parts":[{"text":"%s"}]}}',
        '{"tools":[{"functionDeclarations":[{"description":"%s"}]}]}',
        '{"tools":[{"functionDeclarations":[{"parametersJsonSchema":{"title":"%s"}}]}]}',
        '{"labels":{"%s":"a"}}',
    ],
)
def test_a_setup_is_refused_for_any_text_of_its_own(setup: str, text: str) -> None:
    """Wherever the character stands; the same text without it is fine."""
    wire.parse(f'{{"setup":{setup % "bell"}}}')
    with pytest.raises(RefusedError) as refused:
        wire.parse(f'{{"setup":{setup % text}}}')
    assert refused.value.code == 1007


def test_harmless_whitespace_is_let_through() -> None:
    """Tab, line feed and return are no control characters to the server."""
    frame = '{"realtimeInput":{"text":"a\\tb\\r\\nc"}}'
    assert wire.decode(wire.parse(frame)) == TextIn("a\tb\r\nc")


def test_a_context_update_may_leave_the_instruction_out() -> None:
    """Tools alone, or an instruction that is empty: not the same."""
    frame = '{"contextUpdate":{"tools":{"tools":[]}}}'
    assert wire.decode(wire.parse(frame)) == ContextUpdateIn(None)
    frame = '{"context_update":{"system_instruction":{"parts":[]}}}'
    assert wire.decode(wire.parse(frame)) == ContextUpdateIn("")


def test_audio_without_a_rate_is_16_khz() -> None:
    """``audio/pcm`` alone means the native rate."""
    frame = '{"realtimeInput":{"audio":{"mimeType":"audio/pcm","data":"AAA="}}}'
    assert wire.decode(wire.parse(frame)) == AudioIn(b"\0\0", 16_000)


def test_messages_are_read() -> None:
    """Text, legacy media, content and tool answers become messages."""
    assert wire.decode(wire.parse('{"realtime_input":{"text":"hi"}}')) == TextIn("hi")
    legacy = '{"realtimeInput":{"mediaChunks":[{"mimeType":"audio/pcm","data":"AAA="}]}}'
    assert wire.decode(wire.parse(legacy)) == LegacyMediaIn((AudioIn(b"\0\0", 16_000),))
    content = '{"client_content":{"turns":[{"role":"model","parts":[{"text":"a"},{"text":"b"}]}],"turn_complete":true}}'  # noqa: E501  (a captured frame)
    assert wire.decode(wire.parse(content)) == ContentIn((("model", "ab"),), True)
    answer = '{"tool_response":{"functionResponses":[{"id":"fc_1","name":"f","response":{"output":1,"scheduling":"SILENT"}}]}}'  # noqa: E501  (a captured frame)
    assert wire.decode(wire.parse(answer)) == ToolResponseIn(
        (FunctionAnswer("fc_1", "f", {"output": 1, "scheduling": "SILENT"}, "SILENT"),)
    )


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", 1007),
        ("[]", 1007),
        ("{}", 1007),
        ('{"hello":{}}', 1007),
        ('{"realtimeInput":{"text":"a"},"clientContent":{}}', 1007),
        ('{"realtimeInput":{"text":"a","audioStreamEnd":true}}', 1007),
        ('{"realtimeInput":{"text":"bell \\u0007"}}', 1007),
        ('{"clientContent":{"turns":[{"parts":[{"text":"nul \\u0000"}]}]}}', 1007),
        ('{"contextUpdate":{"systemInstruction":{"parts":[{"text":"form \\u000c"}]}}}', 1007),
        ('{"toolResponse":{"functionResponses":[{"response":{"a":["x",{"b":"\\u001b"}]}}]}}', 1007),
        ('{"toolResponse":{"functionResponses":[{"response":{"\\u001b":1}}]}}', 1007),
        ('{"toolResponse":{"functionResponses":[{"response":{"a":"half \\udc00"}}]}}', 1007),
        ('{"realtimeInput":{"text":"half \\ud800"}}', 1007),
        ('{"realtimeInput":{"audio":{"mimeType":"audio/wav","data":""}}}', 1007),
        ('{"clientContent":{"turns":[{"parts":[{"functionResponse":{}}]}]}}', 1007),
        ('{"clientContent":{"turns":[{"parts":[{"inlineData":{"data":"AAA="}}]}]}}', 1007),
        ('{"clientContent":{"turns":[{"parts":[{"fileData":{"fileUri":"x"}}]}]}}', 1008),
        ('{"setup":{"model":"models/x"}}', 1007),
    ],
)
def test_what_the_real_server_refuses_is_refused(frame: str, code: int) -> None:
    """Frames that close the real connection close this one, with the same code."""
    with pytest.raises(RefusedError) as refused:
        wire.decode(wire.parse(frame))
    assert refused.value.code == code


@given(st.binary() | st.text())
def test_any_frame_is_read_or_refused(frame: bytes | str) -> None:
    """Nothing but a refusal comes out of garbage."""
    try:
        wire.decode(wire.parse(frame))
    except RefusedError as refused:
        assert refused.code in {1007, 1008}  # noqa: PT017  (either way is fine)


def test_audio_frames_are_the_same_whichever_way_they_are_built() -> None:
    """The quick path writes what the general one writes."""
    part = wire.audio_part(_PCM, "audio/pcm;rate=24000")
    slow = wire.encode({"serverContent": {"modelTurn": {"parts": [part]}}})
    assert wire.audio_frame(_PCM, "audio/pcm;rate=24000") == slow
