"""The twin without a network: what a dialer meets there, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from agent import events
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectFailed, LiveConnectionLost
from agent.live.connection import Connection
from agent.live.dialer import Dialer
from agent.spec import AgentSpec
from tests.fakes.twin_connection import TwinInProcess
from tests.fakes.virtual_loop import run
from workers.twin.live_api.faults import Fault, GoAway, HalfOpen
from workers.twin.live_api.script import LiveScript, Say

_SPEC = AgentSpec(name="test", system_instruction="Be kind.")
_OPENING = Opening("Be kind.")

_Work = Callable[[TwinInProcess, Dialer], Coroutine[Any, Any, None]]


def _reach(work: _Work, *, faults: Iterable[Fault] = (), vertexai: bool = False) -> TwinInProcess:
    async def reach() -> None:
        await work(twin, twin.dialer(vertexai=vertexai))
        await twin.stop()

    twin = TwinInProcess(LiveScript(opening=(Say("Hello."),)), faults=faults)
    with twin.reached():
        run(reach())
    return twin


async def _handle(connection: Connection) -> str:
    """Have the model say something, and return the handle that comes after it."""
    await connection.send_text("Greet the caller.", opening=True)
    while True:
        for event in await connection.receive():
            if isinstance(event, events.ResumptionUpdated) and event.handle:
                return event.handle


@pytest.mark.parametrize("vertexai", [False, True])
def test_setup_takes_its_time_and_a_resume_less(vertexai: bool) -> None:
    """The setup that arrives is the SDK's own, and the session comes back by its handle."""
    spec = AgentSpec(
        name="test",
        system_instruction="Be kind.",
        model="gemini-live-2.5-flash-native-audio" if vertexai else "gemini-3.8-live",
    )
    took_s: list[float] = []

    async def work(_twin: TwinInProcess, dialer: Dialer) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        connection = await dialer.connect(spec, _OPENING)
        took_s.append(clock() - began_s)
        handle = await _handle(connection)
        await connection.close()
        began_s = clock()
        connection = await dialer.connect(spec, _OPENING, handle=handle)
        took_s.append(clock() - began_s)
        await connection.close()

    twin = _reach(work, vertexai=vertexai)
    assert took_s == [pytest.approx(0.6), pytest.approx(0.4)]
    assert [log.system_instruction for log in twin.sessions] == ["Be kind."] * 2
    assert [log.resumed_from for log in twin.sessions] == [None, 1]
    assert twin.sessions[1].memory[0] == twin.sessions[0].memory[0]
    assert [(log.close_code, log.closed_by) for log in twin.sessions] == [(1000, "client")] * 2


def test_handle_is_refused_while_its_connection_is_open() -> None:
    """As on the real server: close first, then dial."""

    async def work(_twin: TwinInProcess, dialer: Dialer) -> None:
        connection = await dialer.connect(_SPEC, _OPENING)
        handle = await _handle(connection)
        with pytest.raises(LiveConnectFailed, match="1011"):
            await dialer.connect(_SPEC, _OPENING, handle=handle)
        await connection.close()
        await (await dialer.connect(_SPEC, _OPENING, handle=handle)).close()

    assert [log.resumed_from for log in _reach(work).sessions] == [None, None, 1]


def test_drop_on_request_reaches_whoever_receives() -> None:
    """A reset has no code of its own; a close has, and its reason."""

    async def work(twin: TwinInProcess, dialer: Dialer) -> None:
        for code, reason in ((1006, ""), (1011, "Internal error encountered.")):
            connection = await dialer.connect(_SPEC, _OPENING)
            receiving = asyncio.create_task(connection.receive())
            await asyncio.sleep(1)
            twin.drop(code=code, reason=reason)
            with pytest.raises(LiveConnectionLost) as lost:
                await receiving
            assert (lost.value.code, lost.value.reason) == (code, reason)
            with pytest.raises(LiveConnectionLost):
                await connection.send_audio(bytes(640))

    _reach(work)


def test_go_away_comes_when_the_connection_is_so_old_and_then_its_end() -> None:
    """Faults are the twin's own, by its clock."""

    async def work(_twin: TwinInProcess, dialer: Dialer) -> None:
        clock = asyncio.get_running_loop().time
        connection = await dialer.connect(_SPEC, _OPENING)
        began_s = clock()
        assert await connection.receive() == [events.GoAwayReceived(50.0)]
        assert clock() - began_s == pytest.approx(540)
        with pytest.raises(LiveConnectionLost):
            await connection.receive()
        assert clock() - began_s == pytest.approx(590)

    _reach(work, faults=[GoAway(after_s=540)])


def test_half_open_connection_answers_no_close_and_counts_as_open() -> None:
    """The client waits as long as it has said, then breaks the connection."""

    async def work(twin: TwinInProcess, dialer: Dialer) -> None:
        clock = asyncio.get_running_loop().time
        connection = await dialer.connect(_SPEC, _OPENING)
        await asyncio.sleep(2)
        await connection.send_audio(bytes(640))
        began_s = clock()
        await connection.close(timeout_s=0.5)
        assert clock() - began_s == pytest.approx(0.5)
        await asyncio.sleep(0)
        assert twin.sessions[0].audio_frames == 0

    twin = _reach(work, faults=[HalfOpen(after_s=1)])
    assert twin.sessions[0].close_code == 1006
