"""The simulated server over real sockets, by a raw client."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.workers.twin.live_api.raw_client import (
    DEVELOPER,
    SETUP,
    VERTEX,
    dial,
    receive,
    receive_close,
    send,
    set_up,
)
from workers.twin import speech
from workers.twin.live_api.faults import (
    GARBAGE,
    Close,
    DelaySetup,
    Fault,
    Garbage,
    HangBeforeSetup,
    LatePongs,
    NeverAnswer,
    OversizedFrame,
    RefuseUpgrade,
)
from workers.twin.live_api.loops import tone
from workers.twin.live_api.script import LiveScript, Say, Turn
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import NOTHING

_SCRIPT = LiveScript(
    opening=(Say("agent_greeting"),), turns=(Turn("caller_bye", (Say("agent_bye"),)),)
)


@pytest.mark.parametrize(
    "path",
    [
        DEVELOPER,
        f"/{DEVELOPER}",
        f"/sub{DEVELOPER}",
        DEVELOPER.replace("v1beta", "v1"),
        DEVELOPER.replace("v1beta", "v1alpha") + "Constrained",
    ],
)
async def test_every_way_to_write_the_developer_path_is_served(path: str) -> None:
    """One slash or two, a sub-path, and every version of the API."""
    async with LiveTwin() as live, dial(live, path) as socket:
        assert await set_up(socket) == {"setupComplete": {}}


@pytest.mark.parametrize("path", [VERTEX, f"/{VERTEX}"])
async def test_vertex_is_served_with_a_bearer_token(path: str) -> None:
    """Its ``setupComplete`` has a session id, its models another spelling."""
    async with LiveTwin() as live:
        async with dial(live, path, headers={"Authorization": "Bearer test-key"}) as socket:
            reply = await set_up(socket, model="publishers/google/models/gemini-3.8-live")
        assert len(reply["setupComplete"]["sessionId"]) == 36


@pytest.mark.parametrize("query", ["?key=test-key", "?access_token=test-key"])
async def test_the_key_may_be_in_the_query(query: str) -> None:
    """Raw clients put it there; the log keeps the path without it."""
    async with LiveTwin() as live, dial(live, DEVELOPER + query, headers={}) as socket:
        await set_up(socket)
        assert live.sessions[0].path == DEVELOPER


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_bad_key_is_refused_at_the_upgrade(key: str) -> None:
    """HTTP 403, and no session."""
    async with LiveTwin() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(live, key=key):
                pass
        assert refused.value.response.status_code == 403
        assert live.refusals == [(403, DEVELOPER)]
        assert live.sessions == []


async def test_a_bad_key_can_close_after_the_upgrade_instead() -> None:
    """The variant: 1008."""
    async with LiveTwin(bad_key_closes=True) as live, dial(live, key="wrong") as socket:
        assert (await receive_close(socket))[0] == 1008


async def test_an_unknown_path_is_not_found() -> None:
    """Only the two methods are served, and a plain request is no upgrade."""
    async with LiveTwin() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(live, "/ws/something.Else"):
                pass
        assert refused.value.response.status_code == 404
        async with httpx.AsyncClient(verify=live.client_ssl()) as client:
            assert (await client.get(f"{live.base_url}{DEVELOPER}?key=test-key")).status_code == 426
        assert live.sessions == []


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        ({"setup": SETUP | {"toolConfig": {}}}, 1007),
        ({"setup": SETUP | {"model": "models/gemini-1"}}, 1008),
        ({"setup": SETUP | {"generationConfig": {"responseModalities": ["TEXT"]}}}, 1007),
        ({"realtimeInput": {"text": "hello"}}, 1007),
        ({"setup": SETUP | {"sessionResumption": {"handle": "unknown"}}}, 1007),
    ],
)
async def test_a_refused_setup_closes_before_setup_complete(
    setup: dict[str, Any], code: int
) -> None:
    """The refusal is a close frame, and it is the first thing that comes."""
    async with LiveTwin() as live, dial(live) as socket:
        await send(socket, setup)
        with pytest.raises(ConnectionClosed) as closed:
            await receive(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        await live.until(lambda: not live.open_sessions)
        assert (live.sessions[0].close_code, live.sessions[0].closed_by) == (code, "server")


async def test_a_second_setup_closes_the_connection() -> None:
    """The configuration of an open connection cannot change."""
    async with LiveTwin() as live, dial(live) as socket:
        await set_up(socket)
        await send(socket, {"setup": SETUP})
        assert (await receive_close(socket))[0] == 1007


async def test_a_spoken_turn_is_heard_and_answered() -> None:
    """Caller audio in, the answer's audio and transcript out, and both in the log."""
    line = speech.line("caller_bye").at_rate(16_000)
    pcm = line.pcm + bytes(32_000)
    async with LiveTwin(_SCRIPT, speed=50) as live:
        async with dial(live) as socket:
            await set_up(socket)
            for at in range(0, len(pcm), 3200):
                data = base64.b64encode(pcm[at : at + 3200]).decode()
                audio = {"mimeType": "audio/pcm;rate=16000", "data": data}
                await send(socket, {"realtimeInput": {"audio": audio}})
            heard = b""
            while True:
                content = (await receive(socket)).get("serverContent", {})
                for part in content.get("modelTurn", {}).get("parts", []):
                    heard += base64.b64decode(part["inlineData"]["data"])
                if content.get("generationComplete"):
                    break
        assert heard == speech.line("agent_bye").pcm
        await live.until(lambda: not live.open_sessions)
    log = live.sessions[0]
    assert log.caller_audio == pcm
    assert log.heard[0].text == line.text
    assert log.said[0].text.strip() == speech.line("agent_bye").text
    assert (log.close_code, log.closed_by, log.open) == (1000, "client", False)
    assert log.setup["model"] == "models/gemini-3.8-live"
    assert log.headers["x-goog-api-key"] == "test-key"


async def test_each_session_may_play_a_script_of_its_own() -> None:
    """A function of number and setup chooses the script."""

    def choose(number: int, setup: dict[str, Any]) -> LiveScript:
        assert setup["model"] == SETUP["model"]
        return LiveScript(opening=(Say(f"This is session {number}."),), answer_delay_s=0)

    async with LiveTwin(choose) as live:
        for _ in range(2):
            async with dial(live) as socket:
                await set_up(socket)
                await send(socket, {"realtimeInput": {"text": "hello"}})
                number = len(live.sessions)
                log = live.sessions[-1]
                await live.until(lambda log=log: log.said and log.said[0].generated_at)  # type: ignore[misc]  # bound to this turn of the loop
                assert log.said[0].text == f" This is session {number}."


async def test_a_handle_is_taken_once_its_old_connection_is_closed() -> None:
    """While the old socket is open a resume is refused with 1011."""
    async with LiveTwin(LiveScript(opening=(Say("agent_transfer"),))) as live:
        async with dial(live) as first:
            await set_up(first, sessionResumption={})
            await send(first, {"clientContent": {"turnComplete": True}})
            await live.until(lambda: live.sessions[0].handles)
            resume = {"handle": live.sessions[0].handles[-1]}
            async with dial(live) as second:
                await send(second, {"setup": SETUP | {"sessionResumption": resume}})
                assert (await receive_close(second))[0] == 1011
        await live.until(lambda: not live.open_sessions)
        async with dial(live) as third:
            assert await set_up(third, sessionResumption=resume) == {"setupComplete": {}}


# -- a context of its own size ---------------------------------------------------------------------


async def test_connections_that_are_over_may_be_forgotten() -> None:
    """Many calls would fill the memory with them; one that is up is kept."""
    async with LiveTwin(_SCRIPT) as live:
        async with dial(live) as socket:
            await set_up(socket)
        await live.until(lambda: not live.open_sessions)
        async with dial(live) as socket:
            await set_up(socket)
            seen = live.sessions
            live.forget(list(seen))
            assert [log.number for log in live.sessions] == [2]
            assert live.sessions is seen


async def test_a_context_is_cut_over_real_sockets() -> None:
    """Sizes as google-genai spells them; window and rates as the server was given them."""
    compression = {"trigger_tokens": "300", "sliding_window": {"target_tokens": 150}}
    async with LiveTwin(
        LiveScript(otherwise=(Say("agent_hours"),), answer_delay_s=0),
        speed=1000,
        window_tokens=500,
        model_tokens_per_s=10.0,
    ) as live:
        async with dial(live) as socket:
            await set_up(socket, contextWindowCompression=compression)
            await live.until(lambda: live.sessions[0].context)
            log = live.sessions[0]
            while not log.cuts:
                # The next text interrupts the answer, which is out by then.
                answers = len(log.said)
                await send(socket, {"realtimeInput": {"text": "x" * 100}})
                await live.until(
                    lambda answers=answers: (  # type: ignore[misc]  # bound to this turn of the loop
                        len(log.said) > answers and log.said[-1].generated_at
                    )
                )
        await live.until(lambda: not live.open_sessions)
    cut = log.cuts[0]
    assert cut.before > 300
    assert cut.after <= 150
    assert cut.lines[0] == ("user", "x" * 100)
    said, usage = log.said[1], log.usage[1]
    assert usage["responseTokenCount"] == round(said.audio_ms * 10 / 1000) > 100
    assert log.context[0][1] == 0


@pytest.mark.parametrize("texts", [["x" * 500], ["x" * 250]])
async def test_a_full_context_closes_the_connection(texts: list[str]) -> None:
    """At a message that is too much, and in the middle of an answer."""
    async with LiveTwin(LiveScript(opening=(Say("agent_hours"),)), window_tokens=100) as live:
        async with dial(live) as socket:
            await set_up(socket)
            for text in texts:
                await send(socket, {"realtimeInput": {"text": text}})
            assert await receive_close(socket) == (1007, "Request contains an invalid argument.")
        await live.until(lambda: not live.open_sessions)
        assert live.sessions[0].context_tokens > 100
        assert live.sessions[0].closed_by == "server"


async def test_a_control_character_in_the_setup_closes_before_setup_complete() -> None:
    """As one in any later text does."""
    async with LiveTwin() as live, dial(live) as socket:
        instruction = {"parts": [{"text": "Be \x07 kind."}]}
        await send(socket, {"setup": SETUP | {"systemInstruction": instruction}})
        assert (await receive_close(socket))[0] == 1007
        assert live.sessions[0].ready_at is None


# -- modes ---------------------------------------------------------------------------------------


async def test_forty_parrots_answer_with_their_own_callers_voice() -> None:
    """Each of 40 connections gets the bytes that belong to its own tone."""

    async def call(live: LiveTwin, number: int) -> bytes:
        pcm = tone(200 + 50 * number)[:9600]
        async with dial(live) as socket:
            await set_up(socket)
            heard = b""
            for at in range(0, len(pcm), 960):
                data = base64.b64encode(pcm[at : at + 960]).decode()
                audio = {"mimeType": "audio/pcm;rate=24000", "data": data}
                await send(socket, {"realtimeInput": {"audio": audio}})
            while len(heard) < len(pcm):
                content = (await receive(socket))["serverContent"]
                heard += base64.b64decode(content["modelTurn"]["parts"][0]["inlineData"]["data"])
            return heard

    async with LiveTwin(LiveScript(mode="parrot")) as live:
        heard = await asyncio.gather(*(call(live, number) for number in range(40)))
    # 24 kHz in, 24 kHz out: the parrot has nothing to resample.
    assert heard == [tone(200 + 50 * number)[:9600] for number in range(40)]


@pytest.mark.parametrize("mode", ["tone", "stream"])
async def test_endless_audio_comes_in_real_time(mode: Any) -> None:
    """Frames of 20 ms, fifty a second, with nothing kept of what the client sends."""
    async with LiveTwin(LiveScript(mode=mode), keep=NOTHING) as live:
        async with dial(live) as socket:
            await set_up(socket)
            began = time.monotonic()
            for _ in range(25):
                content = (await receive(socket))["serverContent"]
                data = content["modelTurn"]["parts"][0]["inlineData"]["data"]
                assert len(base64.b64decode(data)) == 960
            took_s = time.monotonic() - began
            await socket.send("this is not looked at")
        await live.until(lambda: not live.open_sessions)
    # No upper bound worth its name on a busy machine; faster than real time is what is wrong.
    assert took_s > 0.4
    assert live.sessions[0].caller_audio == b""
    assert live.sessions[0].frames_received == 2


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_an_upgrade_may_be_refused(status: int) -> None:
    """The first attempt fails, the second gets through."""
    fault = RefuseUpgrade(status=status, sessions=frozenset({1}))
    async with LiveTwin(faults=[fault]) as live:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(live):
                pass
        assert refused.value.response.status_code == status
        async with dial(live) as socket:
            await set_up(socket)
        assert [log.number for log in live.sessions] == [2]


async def test_setup_may_hang_or_be_late() -> None:
    """``setupComplete`` never comes, or not before its time."""
    faults: list[Fault] = [
        HangBeforeSetup(sessions=frozenset({1})),
        DelaySetup(seconds=0.3, sessions=frozenset({2})),
    ]
    async with LiveTwin(faults=faults) as live:
        async with dial(live) as socket:
            await send(socket, {"setup": SETUP})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await socket.recv()
        async with dial(live) as socket:
            began = time.monotonic()
            await set_up(socket)
            assert time.monotonic() - began >= 0.3


async def test_a_model_may_never_answer() -> None:
    """Everything is heard, nothing is sent after ``setupComplete``."""
    async with LiveTwin(_SCRIPT, faults=[NeverAnswer()], speed=100) as live, dial(live) as socket:
        await set_up(socket, sessionResumption={})
        await send(socket, {"realtimeInput": {"text": "hello"}})
        await live.until(lambda: live.sessions[0].said)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await socket.recv()
    assert live.sessions[0].texts == ["hello"]


@pytest.mark.parametrize(
    "fault",
    [
        Close(code=1011, reason="Internal error encountered.", after_s=0.1),
        Close(code=1008, reason="The operation was aborted", answer=1),
        Close(code=1006, answer=1, audio_ms=500),
        Close(code=1000, reason="", answer=1, audio_ms=1000),
        Close(code=1011, reason="é" * 200, after_s=0.0),
    ],
)
async def test_the_connection_may_end_at_any_time(fault: Close) -> None:
    """By time or in the middle of an answer, with any code, or without a close frame."""
    async with LiveTwin(_SCRIPT, faults=[fault]) as live, dial(live) as socket:
        await set_up(socket)
        await send(socket, {"realtimeInput": {"text": "hello"}})
        expected = ("" if fault.code == 1006 else fault.reason).encode()[:122].decode()
        assert await receive_close(socket) == (fault.code, expected)
        await live.until(lambda: not live.open_sessions)
        assert live.sessions[0].close_code == fault.code
        if fault.audio_ms:
            assert fault.audio_ms <= live.sessions[0].audio_sent_ms < fault.audio_ms + 300


async def test_garbage_comes_and_the_session_goes_on() -> None:
    """Every kind of garbage is sent as it is; the answer follows."""
    async with (
        LiveTwin(_SCRIPT, faults=[Garbage(answer=1)], speed=50) as live,
        dial(live) as socket,
    ):
        await set_up(socket)
        await send(socket, {"realtimeInput": {"text": "hello"}})
        frames = []
        async with asyncio.timeout(5):
            while b'{"serverContent":{"generationComplete":true}}' not in frames:
                frames.append(await socket.recv())
        assert [frame for frame in frames if frame in GARBAGE.values()] == list(GARBAGE.values())


async def test_a_frame_may_be_larger_than_clients_take_by_default() -> None:
    """Websockets gives up at 1 MiB (1009); a client with a larger limit reads on."""
    async with LiveTwin(faults=[OversizedFrame(after_s=0)]) as live:
        async with dial(live) as socket:
            await set_up(socket)
            frame = await socket.recv()
            assert len(frame) > 1 << 20
        async with dial(live, max_size=1 << 20) as socket:
            await set_up(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.sent is not None
            assert closed.value.sent.code == 1009


async def test_pongs_may_be_late_or_missing() -> None:
    """A ping of the client is answered after the delay, or never."""
    faults = [
        LatePongs(seconds=0.3, sessions=frozenset({1})),
        LatePongs(seconds=None, sessions=frozenset({2})),
    ]
    async with LiveTwin(faults=faults) as live:
        async with dial(live) as socket:
            async with asyncio.timeout(5):
                assert await (await socket.ping()) >= 0.3
        async with dial(live) as socket:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await (await socket.ping())
        async with dial(live) as socket:
            async with asyncio.timeout(5):
                await (await socket.ping())


# -- leaving nothing behind ------------------------------------------------------------------------


async def test_the_server_ends_with_connections_open_and_leaves_nothing() -> None:
    """Clients see 1001; no task of the server outlives it, and its files are gone."""
    before = asyncio.all_tasks()
    live = LiveTwin(_SCRIPT)
    async with live:
        sockets = [
            await connect(
                f"{live.base_url.replace('https', 'wss')}{DEVELOPER}?key=test-key",
                ssl=live.client_ssl(),
            )
            for _ in range(3)
        ]
        for socket in sockets:
            await set_up(socket)
    for socket in sockets:
        assert (await receive_close(socket))[0] == 1001
        await socket.wait_closed()
    assert asyncio.all_tasks() == before
    assert not Path(live.ca_file).exists()  # noqa: ASYNC240  (after the server, nobody waits)
    assert live.open_sessions == []
