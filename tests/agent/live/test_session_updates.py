"""What a session tells its model in the middle of a call, and what it says became of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agent import events
from agent.errors import LiveConnectionLost
from tests.agent.live.calls import AUDIO_100MS, Call, running
from tests.agent.live.test_session_moves import connections, turn
from tests.fakes.live_connection import FakeConnection, FakeDialer

NOTE = "The caller is a regular."
VERTEX_MODEL = "gemini-live-2.5-flash-native-audio"


class Frail(FakeConnection):
    """Is lost as soon as it is told something."""

    async def send_system_instruction(self, text: str) -> None:
        self.lose(1006)
        raise LiveConnectionLost(1006, "")

    async def send_system_content(self, text: str) -> None:
        await self.send_system_instruction(text)


def vertex(dialer: FakeDialer) -> Call:
    dialer.vertexai = True
    return Call(dialer, model=VERTEX_MODEL)


@pytest.mark.parametrize("called", [Call, vertex])
async def test_note_is_told_to_the_connection_that_serves(
    called: Callable[[FakeDialer], Call],
) -> None:
    """At once, in the message its model takes, and the record says so."""
    call = called(FakeDialer())
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        call.session.add_context(NOTE)
        await call.until(lambda: call.session.context.updates[0].done_s is not None)
    told = [*call.connection.system_instructions, *call.connection.system_contents]
    assert len(told) == 1
    assert NOTE in told[0]
    assert call.session.context.updates[0].how in ("context_update", "system_content")


@pytest.mark.parametrize("called", [Call, vertex])
async def test_note_that_was_lost_with_its_connection_is_told_by_the_next(
    called: Callable[[FakeDialer], Call],
) -> None:
    """It counts as told from then on, and not before."""
    dialer = FakeDialer(Frail())
    call = called(dialer)
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        dialer.may_open.clear()
        call.session.add_context(NOTE)
        await call.until(lambda: len(dialer.dials) == 2)
        await asyncio.sleep(0.01)
        assert call.session.context.updates[0].done_s is None
        dialer.may_open.set()
        second = await connections(call, 2)
        second.say(events.AudioReceived(AUDIO_100MS))
        await call.until(lambda: call.session.context.updates[0].done_s is not None)
    assert NOTE in dialer.dials[1].told
    assert call.session.context.updates[0].how == "next_move"
    assert second.system_instructions == second.system_contents == []
