"""Losing a connection and coming back, over real sockets: what the server does, by recipe."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
import struct
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.workers.twin.live_api.raw_client import (
    SETUP,
    dial,
    receive,
    receive_close,
    send,
    set_up,
)
from workers.twin import position_code, speech
from workers.twin.live_api.faults import (
    DEADLINE_EXPIRED,
    Amnesia,
    Close,
    Fault,
    GoAway,
    HalfOpen,
    LingeringSocket,
    NoHandles,
    PhantomInterrupt,
    PoisonedHandle,
    RefuseSetup,
    ResidualAudio,
    SlowAnswers,
)
from workers.twin.live_api.script import CallTool, LiveScript, Say, TextRule, Turn
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import SessionLog

_TOOLS = [{"functionDeclarations": [{"name": "order_status"}]}]
_SCRIPT = LiveScript(
    opening=(Say("Welcome."),),
    turns=tuple(Turn(f"Question {n}.", (Say(f"Answer {n}."),)) for n in range(1, 5)),
    texts=(TextRule("look up", (CallTool("order_status"), Say("It is ready."))),),
    answer_delay_s=0.05,
)


async def say(client: ClientConnection, pcm: bytes) -> None:
    """Send PCM16 of 16 kHz in frames of 20 ms, as fast as they go."""
    for at in range(0, len(pcm), 640):
        data = base64.b64encode(pcm[at : at + 640]).decode()
        audio = {"mimeType": "audio/pcm;rate=16000", "data": data}
        await send(client, {"realtimeInput": {"audio": audio}})


def coded(first: int, frames: int = 50, quiet: int = 30) -> bytes:
    return position_code.encode_run(first, frames, rate_hz=16_000) + position_code.encode_run(
        first + frames, quiet, rate_hz=16_000, loud=False
    )


async def ask(client: ClientConnection, text: str = "hello") -> None:
    await send(client, {"realtimeInput": {"text": text}})


async def until(client: ClientConnection, key: str) -> list[dict[str, Any]]:
    """Receive up to the first message with ``key``, at the top or in its content."""
    messages = []
    while True:
        messages.append(await receive(client))
        if key in messages[-1] or key in messages[-1].get("serverContent", {}):
            return messages


async def handle_of(client: ClientConnection) -> str:
    """Receive up to the next handle."""
    while True:
        update = (await until(client, "sessionResumptionUpdate"))[-1]["sessionResumptionUpdate"]
        if update.get("resumable"):
            handle: str = update["newHandle"]
            return handle


async def silence(client: ClientConnection, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await client.recv()


async def old_session(live: LiveTwin, **setup: Any) -> str:
    """Greet, hear one question, answer it, close; return the newest handle."""
    async with dial(live) as client:
        await set_up(client, sessionResumption={}, **setup)
        await ask(client)
        await handle_of(client)
        await say(client, coded(0))
        handle = await handle_of(client)
    await live.until(lambda: not live.open_sessions)
    return handle


# -- handles ---------------------------------------------------------------------------------------


async def test_a_resumed_session_remembers_and_is_silent_until_asked() -> None:
    """Memory, script and tokens go on; the log says from where."""
    async with LiveTwin(_SCRIPT, speed=50) as live:
        handle = await old_session(live)
        async with dial(live) as client:
            await set_up(client, sessionResumption={"handle": handle})
            await silence(client)
            await say(client, coded(500))
            await handle_of(client)
    old, new = live.sessions
    assert (old.resumed_from, old.handle) == (None, "")
    assert (new.resumed_from, new.handle) == (1, handle)
    assert new.memory == [
        *old.memory,
        ("user", "Question 2."),
        ("model", "Answer 2."),
    ]
    assert new.usage[0]["promptTokenCount"] > old.usage[-1]["promptTokenCount"]


async def test_one_handle_may_be_used_twice_and_an_older_one_too() -> None:
    """Each time the session is what it was when that handle was issued."""
    async with LiveTwin(_SCRIPT, speed=50) as live:
        newest = await old_session(live)
        for handle, lines in [(newest, 4), (newest, 4), (live.sessions[0].handles[0], 2)]:
            async with dial(live) as client:
                await set_up(client, sessionResumption={"handle": handle})
                assert len(live.sessions[-1].memory) == lines
            await live.until(lambda: not live.open_sessions)


async def test_an_utterance_replayed_after_a_drop_gets_its_own_answer() -> None:
    """On a fresh session as well: the answer that was lost comes again, then the next."""
    fault = Close(code=1006, answer=2, audio_ms=40, sessions=frozenset({1}))
    async with LiveTwin(_SCRIPT, faults=[fault]) as live:
        async with dial(live) as client:
            await set_up(client)
            await say(client, coded(0))
            await until(client, "turnComplete")
            await say(client, coded(500))
            assert (await receive_close(client))[0] == 1006
        async with dial(live) as client:
            await set_up(client)
            await say(client, coded(500))
            await until(client, "turnComplete")
            await say(client, coded(900))
            await until(client, "turnComplete")
    old, new = live.sessions
    assert [(turn.text, turn.codes) for turn in old.heard] == [
        ("Question 1.", (0, 49)),
        ("Question 2.", (500, 549)),
    ]
    assert [turn.text for turn in new.heard] == ["Question 2.", "Question 3."]
    assert new.codes() == [*range(500, 580), *range(900, 980)]


async def test_no_handles_are_issued_where_the_recipe_says_so() -> None:
    """The turn is complete and nothing follows."""
    async with LiveTwin(_SCRIPT, faults=[NoHandles()], speed=50) as live, dial(live) as client:
        await set_up(client, sessionResumption={})
        await ask(client)
        messages = await until(client, "turnComplete")
        await silence(client)
        assert not any("sessionResumptionUpdate" in message for message in messages)


async def test_a_poisoned_handle_hears_and_never_speaks() -> None:
    """Until the end of that connection; a fresh one is well."""
    async with LiveTwin(_SCRIPT, faults=[PoisonedHandle()], speed=50) as live:
        handle = await old_session(live)
        async with dial(live) as client:
            await set_up(client, sessionResumption={"handle": handle}, inputAudioTranscription={})
            await say(client, coded(500))
            await until(client, "inputTranscription")
            await ask(client, "look up")
            await live.until(lambda: len(live.sessions[1].noted("mute")) == 2)
            await client.close()
            rest = [json.loads(frame) async for frame in client]
            # Word that it is not resumable for now is all that comes.
            assert {key for message in rest for key in message} <= {"sessionResumptionUpdate"}
            assert live.sessions[1].texts == ["look up"]
            assert live.sessions[1].said == []
        async with dial(live) as client:
            await set_up(client)
            await ask(client)
            await until(client, "modelTurn")


async def test_an_amnesiac_resume_is_accepted_and_greets_again() -> None:
    """The token count collapses and the first answer is the opening."""
    async with LiveTwin(_SCRIPT, faults=[Amnesia()], speed=50) as live:
        handle = await old_session(live)
        async with dial(live) as client:
            await set_up(client, sessionResumption={"handle": handle}, outputAudioTranscription={})
            assert live.sessions[1].memory == []
            await say(client, coded(500))
            await until(client, "turnComplete")
    old, new = live.sessions
    assert new.resumed_from == 1
    assert new.said[0].text == " Welcome."
    assert new.usage[0]["promptTokenCount"] < old.usage[-1]["promptTokenCount"]


async def test_a_resume_may_take_longer_than_a_fresh_setup() -> None:
    """``resume_delay_s`` holds for setups with a handle."""
    async with LiveTwin(_SCRIPT, speed=50, setup_delay_s=0, resume_delay_s=0.3) as live:
        began = time.monotonic()
        handle = await old_session(live)
        async with dial(live) as client:
            began = time.monotonic()
            await set_up(client, sessionResumption={"handle": handle})
            assert time.monotonic() - began >= 0.3
    first = live.sessions[0]
    assert first.ready_at is not None
    assert first.ready_at - first.opened_at < 0.3


@pytest.mark.parametrize("when", ["resume", "fresh", "any"])
async def test_a_setup_may_be_refused_with_any_code(when: Any) -> None:
    """In place of ``setupComplete``; only the kind of setup that was named."""
    reason = "You exceeded your current quota, please check your plan and billing details."
    fault = RefuseSetup(code=1011, reason=reason, when=when, sessions=frozenset({2, 3}))
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live:
        handle = await old_session(live)
        for setup, refused in [
            ({"sessionResumption": {"handle": handle}}, when != "fresh"),
            ({}, when != "resume"),
        ]:
            async with dial(live) as client:
                await send(client, {"setup": SETUP | setup})
                if refused:
                    with pytest.raises(ConnectionClosed) as closed:
                        await receive(client)
                    assert closed.value.rcvd is not None
                    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, reason)
                else:
                    assert await receive(client) == {"setupComplete": {}}
            await live.until(lambda: not live.open_sessions)


async def test_a_socket_may_linger_after_its_close() -> None:
    """A resume is refused with 1011 for a while; a fresh session is not."""
    fault = LingeringSocket(seconds=0.6, sessions=frozenset({1}))
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live:
        resume = {"handle": await old_session(live)}
        closed_at = live.sessions[0].closed_at
        assert closed_at is not None
        async with dial(live) as client:
            await send(client, {"setup": SETUP | {"sessionResumption": resume}})
            assert (await receive_close(client))[0] == 1011
        async with dial(live) as client:
            assert await set_up(client) == {"setupComplete": {}}
        await asyncio.sleep(max(0.0, closed_at + 0.61 - time.monotonic()))
        async with dial(live) as client:
            assert await set_up(client, sessionResumption=resume) == {"setupComplete": {}}


async def test_answers_get_slower_until_a_fresh_session() -> None:
    """A resume does not help against it."""
    async with LiveTwin(_SCRIPT, faults=[SlowAnswers(add_s=0.2)], speed=50) as live:
        handle = await old_session(live)
        async with dial(live) as client:
            await set_up(client, sessionResumption={"handle": handle})
            await say(client, coded(500))
            await until(client, "turnComplete")
        async with dial(live) as client:
            await set_up(client)
            await say(client, coded(900))
            await until(client, "turnComplete")

    def delay(log: SessionLog) -> float:
        return log.said[-1].started_at - log.heard[-1].at

    old, resumed, fresh = live.sessions
    assert delay(old) >= 0.45
    assert delay(resumed) >= 0.65
    assert 0.25 <= delay(fresh) < delay(resumed)


# -- goAway ----------------------------------------------------------------------------------------


async def test_go_away_says_how_long_and_keeps_to_it() -> None:
    """Messages go on in between; the close comes when the time is up."""
    fault = GoAway(after_s=100, time_left_s=50)
    async with (
        LiveTwin(_SCRIPT, faults=[fault], speed=50, time_scale=100) as live,
        dial(live) as client,
    ):
        began = time.monotonic()
        await set_up(client)
        await silence(client, 0.6)
        assert await receive(client) == {"goAway": {"timeLeft": "0.5s"}}
        assert time.monotonic() - began >= 1.0
        await ask(client)
        await until(client, "modelTurn")
        assert await receive_close(client) == (1011, DEADLINE_EXPIRED)
        assert time.monotonic() - began >= 1.5


async def test_go_away_may_be_silent_or_without_a_time_or_without_an_end() -> None:
    """Silent: nothing more but the close. Without a time: after 50 s. Without an end: no close."""
    faults = [
        GoAway(turn=1, time_left_s=50, silent=True, code=1008, reason="x", sessions=frozenset({1})),
        GoAway(turn=1, time_left_s=None, sessions=frozenset({2})),
        GoAway(turn=1, time_left_s=5, closes=False, sessions=frozenset({3})),
    ]
    async with LiveTwin(_SCRIPT, faults=faults, speed=50, time_scale=100) as live:
        async with dial(live) as client:
            await set_up(client)
            await ask(client)
            await until(client, "goAway")
            await say(client, coded(0))
            with pytest.raises(ConnectionClosed) as closed:
                await receive(client)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            assert live.sessions[0].heard[0].text == "Question 1."
        async with dial(live) as client:
            await set_up(client)
            await ask(client)
            began = time.monotonic()
            assert (await until(client, "goAway"))[-1] == {"goAway": {}}
            assert await receive_close(client) == (1011, DEADLINE_EXPIRED)
            assert time.monotonic() - began >= 0.5
        async with dial(live) as client:
            await set_up(client)
            await ask(client)
            assert (await until(client, "goAway"))[-1] == {"goAway": {"timeLeft": "0.05s"}}
            await silence(client)
            await say(client, coded(500))
            await until(client, "modelTurn")


# -- triggers --------------------------------------------------------------------------------------


async def test_a_connection_may_end_in_mid_sentence() -> None:
    """So much of the utterance was heard and nothing after it."""
    fault = Close(speech=2, speech_ms=600, sessions=frozenset({1}))
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live, dial(live) as client:
        await set_up(client)
        await say(client, coded(0))
        await until(client, "turnComplete")
        with contextlib.suppress(ConnectionClosed):
            await say(client, coded(500))
        assert (await receive_close(client))[0] == 1011
        await live.until(lambda: not live.open_sessions)
        log = live.sessions[0]
        assert [turn.text for turn in log.heard] == ["Question 1."]
        assert log.codes()[-1] == 529


async def test_a_connection_may_end_before_the_answer_to_an_utterance() -> None:
    """The utterance was heard whole; not one frame of the answer was sent."""
    async with LiveTwin(_SCRIPT, faults=[Close(speech_end=1)], speed=50) as live:
        async with dial(live) as client:
            await set_up(client)
            await say(client, coded(0))
            with pytest.raises(ConnectionClosed):
                await receive(client)
        await live.until(lambda: not live.open_sessions)
        assert live.sessions[0].heard[0].codes == (0, 49)
        assert live.sessions[0].said == []


async def test_a_connection_may_end_after_a_tool_call() -> None:
    """The call is the last thing that comes."""
    fault = Close(tool_call=1)
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live, dial(live) as client:
        await set_up(client, tools=_TOOLS)
        await ask(client, "look up")
        await until(client, "toolCall")
        with pytest.raises(ConnectionClosed):
            await receive(client)


async def test_a_connection_may_end_after_an_interruption() -> None:
    """``interrupted`` comes, ``turnComplete`` does not."""
    script = LiveScript(opening=(Say("agent_hours"),), answer_delay_s=0)
    async with LiveTwin(script, faults=[Close(interruption=1)]) as live, dial(live) as client:
        await set_up(client)
        await ask(client)
        await until(client, "modelTurn")
        await say(client, coded(0))
        await until(client, "interrupted")
        with pytest.raises(ConnectionClosed):
            await receive(client)


async def test_a_connection_may_end_after_a_turn_and_its_handle() -> None:
    """The handle is the last thing that comes, and it is good."""
    fault = Close(turn=1, sessions=frozenset({1}))
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live:
        async with dial(live) as client:
            await set_up(client, sessionResumption={})
            await ask(client)
            handle = await handle_of(client)
            with pytest.raises(ConnectionClosed):
                await receive(client)
        await live.until(lambda: not live.open_sessions)
        async with dial(live) as client:
            await set_up(client, sessionResumption={"handle": handle})
            assert live.sessions[1].memory == [("user", "hello"), ("model", "Welcome.")]


async def test_a_phantom_interrupt_and_residual_audio_come_over_the_wire() -> None:
    """Mid-answer by the first, after the turn by the second."""
    faults: list[Fault] = [
        PhantomInterrupt(answer=1, audio_ms=400),
        ResidualAudio(interruption=1, delay_s=0.2, ms=20),
    ]
    script = LiveScript(opening=(Say("agent_hours"),), answer_delay_s=0, speed=2)
    async with LiveTwin(script, faults=faults) as live, dial(live) as client:
        await set_up(client)
        await ask(client)
        messages = await until(client, "turnComplete")
        messages += await until(client, "modelTurn")
        heard = b""
        for message in messages:
            for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", []):
                heard += base64.b64decode(part["inlineData"]["data"])
        log = live.sessions[0]
        assert [note.detail for note in log.noted("fault")] == ["PhantomInterrupt", "ResidualAudio"]
        assert log.said[0].interrupted_at is not None
        assert heard == speech.line("agent_hours").pcm[: len(heard)]
        assert len(heard) == (log.said[0].audio_ms + 20) * 48


# -- TCP -------------------------------------------------------------------------------------------


def _upgrade(live: LiveTwin, host: str, port: int) -> ssl.SSLSocket:
    """Dial by hand and send a setup, to see what TCP does."""
    plain = socket.create_connection((host, port), timeout=5)
    tls = live.client_ssl().wrap_socket(plain, server_hostname=host)
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    tls.sendall(
        f"GET {path}?key=test-key HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    payload = json.dumps({"setup": SETUP}).encode()
    # Masked with zeros, which leave it as it is (RFC 6455, section 5.3).
    tls.sendall(b"\x82\xfe" + struct.pack(">H", len(payload)) + bytes(4) + payload)
    return tls


def _last_read(tls: ssl.SSLSocket) -> bytes:
    """Read under TLS, which hides how a connection ends, until there is nothing or an error."""
    with socket.socket(fileno=os.dup(tls.fileno())) as raw:
        raw.settimeout(5)
        while data := raw.recv(65536):
            pass
        return data


@pytest.mark.parametrize(("code", "resets"), [(1006, True), (1011, False)])
async def test_code_1006_is_a_reset_and_not_an_end(code: int, resets: bool) -> None:
    """The client's socket fails with ECONNRESET: no close frame, no end of TLS, no FIN."""
    async with LiveTwin(faults=[Close(code=code, after_s=0.1)]) as live:
        host, port = live.base_url.removeprefix("https://").split(":")
        tls = await asyncio.to_thread(_upgrade, live, host, int(port))
        try:
            if resets:
                with pytest.raises(ConnectionResetError):
                    await asyncio.to_thread(_last_read, tls)
            else:
                assert await asyncio.to_thread(_last_read, tls) == b""
        finally:
            tls.close()
        await live.until(lambda: not live.open_sessions)


async def receive_for(client: ClientConnection, seconds: float) -> None:
    """Receive as much as comes.

    Raises:
        TimeoutError: The time was up.
    """
    async with asyncio.timeout(seconds):
        while True:
            await client.recv()


async def test_a_half_open_connection_neither_reads_nor_sends_nor_ends() -> None:
    """Pings stay unanswered, nothing is heard, and only the client's leaving ends it."""
    async with LiveTwin(_SCRIPT, faults=[HalfOpen(turn=1)], speed=50) as live:
        async with dial(live) as client:
            await set_up(client)
            await ask(client)
            await until(client, "turnComplete")
            log = live.sessions[0]
            await live.until(lambda: log.noted("fault"))
            received = log.frames_received
            for _ in range(10):
                await say(client, coded(0))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await client.ping(), 0.3)
            await silence(client)
            assert (log.open, log.frames_received) == (True, received)
            client.transport.abort()
        await live.until(lambda: not live.open_sessions)
        assert log.close_code == 1006
        assert log.frames_received == received


async def test_a_half_open_connection_is_open_to_a_resume_until_the_client_leaves() -> None:
    """First 1011; once the old socket is gone the handle is taken."""
    fault = HalfOpen(turn=1, sessions=frozenset({1}))
    async with LiveTwin(_SCRIPT, faults=[fault], speed=50) as live:
        async with dial(live, close_timeout=0.1) as old:
            await set_up(old, sessionResumption={})
            await ask(old)
            resume = {"handle": await handle_of(old)}
            async with dial(live) as client:
                await send(client, {"setup": SETUP | {"sessionResumption": resume}})
                assert (await receive_close(client))[0] == 1011
        await live.until(lambda: not live.open_sessions)
        async with dial(live) as client:
            assert await set_up(client, sessionResumption=resume) == {"setupComplete": {}}


async def test_the_server_stops_with_a_connection_half_open() -> None:
    """The client sees its connection end without a close frame."""
    before = asyncio.all_tasks()
    async with LiveTwin(faults=[HalfOpen(after_s=0)]) as live:
        manager = dial(live, close_timeout=0.1)
        client = await manager.__aenter__()
        await set_up(client)
        await live.until(lambda: live.sessions[0].noted("fault"))
    assert (await receive_close(client))[0] == 1006
    await manager.__aexit__(None, None, None)
    assert asyncio.all_tasks() == before


async def test_endless_audio_stops_where_the_connection_dies() -> None:
    """Modes ``tone`` and ``stream`` write past the session; they fall silent all the same."""
    faults = [
        HalfOpen(after_s=0.1, sessions=frozenset({1})),
        GoAway(after_s=0.1, silent=True, sessions=frozenset({2})),
    ]
    async with LiveTwin(LiveScript(mode="tone"), faults=faults) as live:
        for _ in faults:
            async with dial(live, close_timeout=0.1) as client:
                await set_up(client)
                await until(client, "serverContent")
                await live.until(lambda: live.sessions[-1].noted("fault"))
                log = live.sessions[-1]
                sent = log.frames_sent
                with pytest.raises(TimeoutError):
                    await receive_for(client, 0.5)
                assert log.frames_sent == sent
