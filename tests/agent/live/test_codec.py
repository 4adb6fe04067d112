"""The codec: captured messages, several fields per frame, what is unknown and what is broken."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.genai import types

from agent import events
from agent.audio import PcmChunk
from agent.live import codec

DATA = Path(__file__).parents[2] / "data" / "live"


def captured(name: str) -> list[events.LiveEvent]:
    frames = (DATA / f"server_{name}.jsonl").read_bytes().splitlines()
    return [event for frame in frames for event in codec.decode(frame)]


def frame(**message: Any) -> bytes:
    return orjson.dumps(message)


def audio_turn(pcm: bytes, mime: str = "audio/pcm;rate=24000") -> dict[str, Any]:
    data = base64.b64encode(pcm).decode()
    return {"parts": [{"inlineData": {"mimeType": mime, "data": data}}]}


def kinds(found: list[events.LiveEvent]) -> list[str]:
    return [type(event).__name__ for event in found]


def test_captured_turn_of_2_5_is_read_field_by_field() -> None:
    """A turn of 2.5: word-wise transcript, a thought, text, audio, both ends and the usage."""
    found = captured("2_5")
    assert kinds(found[:1]) == ["SetupCompleted"]
    words = [event.text for event in found if isinstance(event, events.InputTranscribed)]
    assert words == [" Hello", ",", " my", " name", " is Marcelo."]
    assert [type(event) for event in found[6:13]] == [
        events.ThoughtReceived,
        events.OutputTranscribed,
        events.AudioReceived,
        events.AudioReceived,
        events.AudioReceived,
        events.GenerationCompleted,
        events.TurnCompleted,
    ]
    assert found[13] == events.UsageReported(187, 46, 233, thoughts_tokens=12)
    call = events.FunctionCall(
        "function-call-10285421938512", "order_status", {"order_number": "7"}
    )
    assert found[14:] == [
        events.ToolCallsRequested((call,)),
        events.ToolCallsCancelled((call.id,)),
        events.Interrupted(),
        events.TurnCompleted(),
        events.GoAwayReceived(50.0),
    ]


def test_captured_turn_of_3_1_bundles_text_with_audio() -> None:
    """On 3.1 a frame holds text and audio, empty frames say nothing, handles come unasked."""
    found = captured("3_1")
    assert kinds(found) == [
        "SetupCompleted",
        "ToolCallsRequested",
        "ResumptionUpdated",
        "OutputTranscribed",
        "AudioReceived",
        "AudioReceived",
        "OutputTranscribed",
        "AudioReceived",
        "GenerationCompleted",
        "TurnCompleted",
        "UsageReported",
        "InputTranscribed",
        "UsageReported",
        "ResumptionUpdated",
    ]
    assert found[-1] == events.ResumptionUpdated(None, resumable=False)


def test_captured_turn_of_3_8_reports_its_interaction_status() -> None:
    """3.8 says whether it is idle, beside the other fields of a frame."""
    found = captured("3_8")
    statuses = [e.status for e in found if isinstance(e, events.InteractionStatusChanged)]
    assert statuses == ["IN_PROGRESS", "IDLE", "IDLE"]
    assert "Unrecognised" not in kinds(found)
    assert events.ResumptionUpdated("CihjaGVzdG51dA==", True, 12) in found
    assert found[-1] == events.GoAwayReceived(9.5)


def test_captured_turn_of_vertex_needs_no_rate_and_no_id() -> None:
    """Vertex: audio without a rate, finished markers, other usage names, calls without an id."""
    found = captured("vertex")
    assert found[0] == events.SetupCompleted("1c5a4a0f-7f6b-4f7f-9a52-0a4a3e2b9d10")
    assert found[1:3] == [
        events.OutputTranscribed("We open at seven."),
        events.OutputTranscribed("", finished=True),
    ]
    rates = [e.audio.rate_hz for e in found if isinstance(e, events.AudioReceived)]
    assert rates == [24_000, 24_000]
    assert events.UsageReported(512, 55, 567) in found
    (request,) = (e for e in found if isinstance(e, events.ToolCallsRequested))
    assert request.calls[0].id.startswith(codec.LOCAL_ID_PREFIX)
    assert found[-2:] == [events.VoiceActivityChanged(True), events.VoiceActivityChanged(False)]


def test_caller_audio_is_written_as_captured() -> None:
    """The template writes the bytes of a captured message, in standard base64."""
    expected = (DATA / "client_audio.json").read_bytes()
    pcm = base64.b64decode(json.loads(expected)["realtimeInput"]["audio"]["data"])
    assert codec.encode_audio(pcm) == expected


def test_direct_path_and_sdk_path_read_the_same_audio() -> None:
    """A part the direct path leaves alone gives the same audio through the SDK's types."""
    pcm = bytes(range(256)) * 4
    direct = codec.decode(frame(serverContent={"modelTurn": audio_turn(pcm)}))
    turn = audio_turn(pcm)
    turn["parts"].append({"text": "hm", "thought": True})
    through_sdk = codec.decode(frame(serverContent={"modelTurn": turn}))
    assert direct == [events.AudioReceived(PcmChunk(pcm, 24_000))]
    assert through_sdk == [*direct, events.ThoughtReceived("hm")]


def test_every_field_of_a_bundled_frame_is_read() -> None:
    """Fields of one frame are not alternatives."""
    found = codec.decode(
        frame(
            serverContent={
                "turnComplete": True,
                "generationComplete": True,
                "modelTurn": audio_turn(b"\1\0"),
                "outputTranscription": {"text": "a"},
                "inputTranscription": {"text": "b"},
            },
            usageMetadata={"promptTokenCount": 1},
            goAway={"timeLeft": "soon"},
        )
    )
    assert found == [
        events.InputTranscribed("b"),
        events.OutputTranscribed("a"),
        events.AudioReceived(PcmChunk(b"\1\0", 24_000)),
        events.GenerationCompleted(),
        events.TurnCompleted(),
        events.UsageReported(1, 0, 0),
        events.GoAwayReceived(None),
    ]


def test_url_safe_audio_is_read() -> None:
    """Both base64 alphabets are in use on this API."""
    pcm = b"\xfb\xff\xfe\xff"
    data = base64.urlsafe_b64encode(pcm).decode()
    turn = {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": data}}]}
    assert "-" in data or "_" in data
    assert codec.decode(frame(serverContent={"modelTurn": turn})) == [
        events.AudioReceived(PcmChunk(pcm, 24_000))
    ]


def test_unknown_fields_are_named_and_the_rest_is_read() -> None:
    """A field that the SDK does not know yet loses nothing else of its frame."""
    found = codec.decode(
        frame(
            brandNew={"a": 1},
            serverContent={"alsoNew": 1, "turnComplete": True, "modelTurn": audio_turn(b"\1\0")},
        )
    )
    assert kinds(found) == ["AudioReceived", "TurnCompleted", "Unrecognised"]
    assert isinstance(found[-1], events.Unrecognised)
    assert sorted(found[-1].keys) == ["brandNew", "serverContent.alsoNew"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{",
        b"[" * 5000,
        frame(serverContent={"modelTurn": {"parts": [{"inlineData": {"mimeType": 3}}]}}),
        frame(serverContent={"turnComplete": "perhaps"}),
        frame(serverContent={"interactionStatus": 5}),
        frame(serverContent={"modelTurn": audio_turn(b"\1\0\2")}),
        frame(serverContent={"modelTurn": audio_turn(b"\1\0", "audio/pcm;rate=99999")}),
        frame(serverContent={"modelTurn": audio_turn(b"\1\0", "audio/pcm;rate=24001")}),
        frame(
            serverContent={
                "modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "*!"}}]}
            }
        ),
        frame(toolCall={"functionCalls": [{"id": "x"}]}),
        frame(toolCall={"functionCalls": [{"name": "f", "args": "no"}]}),
    ],
)
def test_broken_frame_is_one_malformed_event(raw: bytes) -> None:
    """What is not a Live API message is an event, never an exception."""
    assert kinds(codec.decode(raw)) == ["MalformedReceived"]


def test_audio_survives_a_broken_neighbour() -> None:
    """A broken field does not take the audio of its frame with it."""
    found = codec.decode(
        frame(
            serverContent={"modelTurn": audio_turn(b"\1\0")}, usageMetadata={"x": [], "y": 1}
        ).replace(b'"x":[],"y":1', b'"promptTokenCount":"many"')
    )
    assert kinds(found) == ["MalformedReceived", "AudioReceived"]


def test_malformed_detail_repeats_nothing_that_was_said() -> None:
    """Details go to the log, and the log holds no transcripts."""
    (event,) = codec.decode(frame(serverContent={"inputTranscription": {"text": ["my secret"]}}))
    assert isinstance(event, events.MalformedReceived)
    assert "secret" not in event.detail


def test_text_loses_what_ends_a_session() -> None:
    """Control characters and lone surrogates close the connection, line breaks do not."""
    assert codec.clean_text("a\x00b\nc\ud800d\x7f") == "a b\nc d "


def test_what_comes_is_cleaned_but_for_the_id_of_a_call() -> None:
    """It is told to other connections, and stored; a cancellation names a call by its id."""
    call = {"id": "1\x00", "name": "look\x00up", "args": {"or\x00der": ["\x1b7", 2**60]}}
    message = {
        "serverContent": {
            "inputTranscription": {"text": "good\x00day"},
            "outputTranscription": {"text": "good\u2028day"},
        },
        "toolCall": {"functionCalls": [call]},
    }
    expected = [
        events.InputTranscribed("good day"),
        events.OutputTranscribed("good day"),
        events.ToolCallsRequested(
            (events.FunctionCall("1\x00", "look up", {"or der": [" 7", str(2**60)]}),)
        ),
    ]
    assert codec.decode(frame(**message)) == expected
    assert codec.events_of(types.LiveServerMessage.model_validate(message)) == expected


def test_half_a_surrogate_pair_does_not_cost_the_record() -> None:
    """The SDK's way of reading lets it through; no store could keep it."""
    message = types.LiveServerMessage.model_validate(
        {"serverContent": {"inputTranscription": {"text": "tea \ud83c"}}}
    )
    assert codec.events_of(message) == [events.InputTranscribed("tea  ")]
