"""The shell of a session that is taken up, checkpointed and handed over."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent import events
from agent.checkpoint import SessionCheckpoint
from agent.conversation.prompt import Opening, cut_off, open_call
from agent.conversation.record import EndReason, MoveCause, MoveKind, TurnRecord
from agent.errors import LiveConnectFailed
from agent.live.links import MOVE_DIAL_S
from agent.spec import AgentSpec, Greeting
from agent.tools.declarations import declare
from tests.agent.live.calls import AUDIO_100MS, Call, running
from tests.agent.live.test_session_moves import connections, moves, turn
from tests.fakes.live_connection import FakeConnection, FakeDialer

MODEL = "gemini-3.8-live"
SPEC = AgentSpec("test", "Be kind.", greeting=Greeting("Hello."))
HISTORY = (
    TurnRecord("caller", "I am Ada.", "I am Ada.", 1.0, 2.0),
    TurnRecord("agent", "Hi, Ada.", "Hi, Ada.", 3.0, 4.0, said_ms=900.0, heard_ms=900.0),
)
LEFT = SessionCheckpoint(at_s=4.0, model=MODEL, handle="h-a", handle_s=0.0, known_turns=1)


def going_on(checkpoint: SessionCheckpoint = LEFT) -> Opening:
    return open_call(SPEC, variables={}, history=HISTORY, checkpoint=checkpoint, now_s=6.0)


# -- taking up -------------------------------------------------------------------------------------


async def test_session_resumes_with_what_the_handle_does_not_know() -> None:
    """In the bounded time of a move, and nothing is said."""
    call = Call(FakeDialer(), opening=going_on())
    async with running(call):
        await moves(call, 1)
    (dial,) = call.dialer.dials
    assert (dial.handle, dial.timeout_s) == ("h-a", MOVE_DIAL_S)
    assert "You: Hi, Ada." in dial.told
    assert "I am Ada." not in dial.told
    assert call.connection.texts == []
    (move,) = call.moves
    assert (move.cause, move.kind) == (MoveCause.TAKEOVER, MoveKind.RESUME)


async def test_handle_that_is_refused_leads_to_a_session_that_is_told_everything() -> None:
    """Nothing of the history is missing."""
    refused = LiveConnectFailed("the handle was refused", code=1007, setup_sent=True)
    call = Call(FakeDialer(refused, FakeConnection()), opening=going_on())
    async with running(call):
        await moves(call, 1)
    first, second = call.dialer.dials
    assert (first.handle, second.handle) == ("h-a", None)
    assert "I am Ada." in second.told
    assert "Hi, Ada." in second.told


async def test_agent_that_was_cut_goes_on() -> None:
    """It is told how far it was heard."""
    call = Call(FakeDialer(), opening=going_on(replace(LEFT, generating=True)))
    async with running(call):
        await call.until(lambda: bool(call.connection.texts))
    assert call.connection.texts == [(cut_off("Hi, Ada."), False)]
    assert "You: Hi, Ada. — (cut off here)" in call.dialer.dials[0].told


async def test_second_worker_is_taken_over_from_like_the_first() -> None:
    """What its own handle knows counts from the beginning of the call."""
    call = Call(FakeDialer(), opening=going_on())
    async with running(call):
        await moves(call, 1)
        before = call.session.checkpoint()
        call.connection.say(events.ResumptionUpdated("h-b", True))
        await call.heard(events.ResumptionUpdated)
        first = call.session.checkpoint()
        await turn(call, call.connection, "We open at seven.", "h-c")
        second = call.session.checkpoint()
    assert before.handle is None, "it has been used"
    assert (first.handle, first.known_turns, first.told_turns) == ("h-b", 2, (1,))
    assert (second.handle, second.known_turns, second.told_turns) == ("h-c", 3, (1,))


# -- checkpoints -----------------------------------------------------------------------------------


async def test_checkpoint_after_the_end_is_the_last_one() -> None:
    """Whoever hands over asks for it then."""
    call = Call(FakeDialer())
    async with running(call):
        await turn(call, call.connection, "Hello.", "h-1")
        call.session.add_context("A regular.")
    left = call.session.checkpoint()
    assert (left.handle, left.known_turns, left.notes) == ("h-1", 1, ("A regular.",))
    assert left.model == MODEL
    assert not left.generating


async def test_session_that_is_dropped_in_the_middle_leaves_what_was_going_on() -> None:
    """Its task is cancelled: nothing is asked, and nothing is said."""
    call = Call(FakeDialer())
    task = asyncio.create_task(call.session.run())
    await turn(call, call.connection, "Hello.", "h-1")
    call.connection.say(events.OutputTranscribed("At"), events.AudioReceived(AUDIO_100MS))
    await call.until(lambda: call.session.checkpoint().generating)
    task.cancel()
    await asyncio.wait([task])
    left = call.session.checkpoint()
    assert (left.generating, left.handle, left.known_turns) == (True, "h-1", 1)


class Changes:
    """A call whose changes are counted."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._seen = 0

    async def next(self) -> bool:
        """Whether something has changed since the last time."""
        for _ in range(20):
            await asyncio.sleep(0)
        seen, self._seen = self._seen, self._call.changes
        return self._seen > seen


async def test_whatever_is_worth_keeping_is_told() -> None:
    """Turns, words, handles, functions, moves, notes; audio is not."""
    gate = asyncio.Event()

    async def look() -> str:
        """Look."""
        await gate.wait()
        return "done"

    call = Call(FakeDialer(), tools={"look": declare(look)})
    changes = Changes(call)
    async with running(call):
        await connections(call, 1)
        assert await changes.next(), "a connection serves"
        connection = call.connection
        connection.say(events.AudioReceived(AUDIO_100MS))
        assert not await changes.next(), "audio"
        for event in (
            events.OutputTranscribed("Hello."),
            events.GenerationCompleted(),
            events.TurnCompleted(),
            events.ResumptionUpdated("h-1", True),
            events.InputTranscribed("Hi."),
            events.ToolCallsRequested((events.FunctionCall("f-1", "look", {}),)),
        ):
            connection.say(event)
            assert await changes.next(), event
        gate.set()
        assert await changes.next(), "a function's end"
        call.session.add_context("A regular.")
        assert await changes.next(), "a note"
        call.session.update_instruction("Be brief.")
        assert await changes.next(), "an instruction"
        call.session.bot_stopped()
        assert await changes.next(), "the agent was heard to its end"
        connection.say(events.TurnCompleted())
        connection.lose(1006)
        await moves(call, 1)
        assert await changes.next(), "a move"


# -- handing over ----------------------------------------------------------------------------------


async def test_call_is_handed_over_with_its_newest_handle() -> None:
    """The connection is closed by then: the handle can be used."""
    call = Call(FakeDialer())
    async with running(call) as talk:
        await turn(call, call.connection, "Hello.", "h-1")
        call.session.bot_stopped()
        call.session.hand_over(30.0)
        async with asyncio.timeout(5):
            end = await talk
        assert (end.reason, end.detail) == (EndReason.HANDED_OVER, "at a safe point")
        assert call.connection.closed
    assert call.session.checkpoint().handle == "h-1"


async def test_hand_over_by_force_says_what_was_cut() -> None:
    """And the checkpoint has it for the next worker."""
    call = Call(FakeDialer())
    async with running(call) as talk:
        await turn(call, call.connection, "Hello.", "h-1")
        call.connection.say(events.OutputTranscribed("At"), events.AudioReceived(AUDIO_100MS))
        await call.until(lambda: call.session.checkpoint().generating)
        call.session.hand_over(0.0)
        async with asyncio.timeout(5):
            end = await talk
    assert (end.reason, end.detail) == (EndReason.HANDED_OVER, "by force: the agent was speaking")
    assert call.session.checkpoint().generating


async def test_hand_over_before_the_session_runs_ends_it_as_it_starts() -> None:
    """The stream had just come when the worker was told to leave."""
    call = Call(FakeDialer())
    call.session.hand_over(0.0)
    async with asyncio.timeout(5):
        end = await call.session.run()
    assert end.reason is EndReason.HANDED_OVER
    assert call.dialer.dials == []


async def test_hand_over_after_the_end_changes_nothing() -> None:
    """The caller has hung up meanwhile."""
    call = Call(FakeDialer())
    async with running(call) as talk:
        call.session.end(EndReason.CALLER_HUNG_UP)
        call.session.hand_over(0.0)
        end = await talk
    assert end.reason is EndReason.CALLER_HUNG_UP
