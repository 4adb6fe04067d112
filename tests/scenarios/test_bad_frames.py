"""Garbage on either socket is counted and logged with the call SID, and the call goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from agent.conversation.record import EndReason
from tests.scenarios.rig import (
    ANSWER,
    GREETING,
    QUESTION,
    agent_turns,
    evercall,
    played_ms,
    spoken_ms,
    until,
)
from workers.twin.caller import (
    HangUp,
    ReorderFrames,
    Say,
    SendRaw,
    WaitAgentDone,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.faults import GARBAGE, Garbage, OversizedFrame
from workers.twin.live_api.script import LiveScript
from workers.twin.twilio_api import signing

GARBLED = (
    SendRaw("no JSON"),
    SendRaw('{"event":"media"}'),
    SendRaw('{"event":"media","media":{"payload":"***"}}'),
    SendRaw('["event"]'),
    SendRaw(b"\x00\xff binary"),
    SendRaw("x" * 900_000),
)


async def test_garbage_from_twilio_costs_nothing(tmp_path: Path) -> None:
    """Malformed, binary and unknown messages, large ones too, change nothing in the call."""
    async with evercall(tmp_path) as rig:
        result, record = await rig.call(
            WaitAgentStarts(),
            *GARBLED,
            SendRaw('{"event":"novelty","novelty":{}}'),
            WaitAgentDone(300),
            Say(QUESTION),
            WaitAgentDone(300),
            HangUp(),
        )
        ended = await rig.until_logged("stream.ended")
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
    assert record.counters["media_malformed"] == len(GARBLED)
    assert record.counters["media_unrecognised"] == 1
    assert len(record.streams) == 1
    assert ended["call_sid"] == record.call_sid
    assert ended["counted"]["media_malformed"] == len(GARBLED)


async def test_frames_out_of_order_are_heard(tmp_path: Path) -> None:
    """A few that changed places are counted, and the question is understood."""
    async with evercall(tmp_path) as rig:
        _, record = await rig.call(
            WaitAgentDone(300), ReorderFrames(4), Say(QUESTION), WaitAgentDone(300), HangUp()
        )
    assert record.counters["media_out_of_order"] >= 3
    assert len(rig.live.sessions[0].heard) == 1
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]


@pytest.mark.parametrize(
    "frame",
    [
        SendRaw("x" * 2_000_000),
        SendRaw(b"\xff\xff\xff\xff no frame at all", framed=False),
    ],
    ids=["oversized", "unframed"],
)
async def test_socket_that_must_be_closed_is_replaced(tmp_path: Path, frame: SendRaw) -> None:
    """A frame past every bound, or none at all, ends the socket and not the call."""
    model = LiveScript(
        otherwise=(script.Say(ANSWER),),
        opening=(script.Say(GREETING),),
        answer_delay_s=0.1,
    )
    async with evercall(tmp_path, model) as rig:
        result, record = await rig.call(
            WaitAgentDone(300),
            frame,
            WaitStream(),
            WaitSeconds(0.5),
            Say(QUESTION),
            WaitAgentDone(300),
            HangUp(),
        )
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert [stream.end_reason for stream in record.streams] == [
        EndReason.STREAM_LOST,
        EndReason.CALLER_HUNG_UP,
    ]
    assert result.status == "completed"
    assert "Traceback" not in rig.log_text


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("no JSON", 1002),
        (b"\x00\xff binary", 1002),
        ('{"event":"stop","streamSid":"MZ1"}', 1002),
        ('{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA"}}', 1002),
        ("x" * 2_000_000, 1009),
    ],
    ids=["text", "binary", "stop", "media", "oversized"],
)
async def test_garbage_before_start_closes_the_socket(
    tmp_path: Path, first: str | bytes, code: int
) -> None:
    """Nothing is known of the peer yet: a code that says why, and no session."""
    async with evercall(tmp_path) as rig:
        url = f"{rig.base_url}/media".replace("http", "ws")
        signed = signing.headers(rig.twilio.auth_token, url)
        async with connect(url, additional_headers=signed, proxy=None) as socket:
            await socket.send(first)
            async with asyncio.timeout(5):
                await socket.wait_closed()
            assert socket.close_code == code
        await until(lambda: rig.metric("evercall_streams_refused_total", reason="no_start") == 1)
        assert not rig.live.sessions
    assert "Traceback" not in rig.log_text


async def test_garbage_from_the_live_api_costs_nothing(tmp_path: Path) -> None:
    """In the middle of an answer: every word of it is heard, and the next one too."""
    async with evercall(tmp_path, faults=[Garbage(answer=1, audio_ms=100)]) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(300), HangUp()
        )
        logged = await rig.until_logged("live.malformed")
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
    counted = record.counters["live_malformed"] + record.counters["live_unrecognised"]
    assert len(GARBAGE) - 2 <= counted <= len(GARBAGE) + 2
    assert logged["call_sid"] == record.call_sid
    assert len(record.streams) == 1


async def test_large_frame_from_the_live_api_is_taken(tmp_path: Path) -> None:
    """Larger than a library's default, and not spoken: it is a thought."""
    async with evercall(tmp_path, faults=[OversizedFrame(answer=1, audio_ms=100)]) as rig:
        _, record = await rig.call(WaitAgentDone(300), Say(QUESTION), WaitAgentDone(300), HangUp())
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert len(record.streams) == 1


async def test_frames_after_stop_and_for_another_stream_are_ignored(tmp_path: Path) -> None:
    """What names another stream is counted, not heard."""
    foreign = (
        '{"event":"media","sequenceNumber":"9","streamSid":"MZother","media":'
        '{"track":"inbound","chunk":"9","timestamp":"9","payload":"AAAA"}}'
    )
    async with evercall(tmp_path) as rig:
        _, record = await rig.call(
            WaitStream(), WaitAgentDone(300), SendRaw(foreign, times=3), WaitSeconds(0.1), HangUp()
        )
    assert record.counters["media_foreign"] == 3
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]
