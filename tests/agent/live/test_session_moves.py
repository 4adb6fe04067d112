"""The shell of a session over several connections in memory."""

from __future__ import annotations

import asyncio
import time

import pytest

from agent import events
from agent.audio import PcmChunk
from agent.commands import ToolResponse
from agent.context.seed import SeedTurn
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.errors import LiveConnectFailed
from agent.live import links
from agent.live.links import MOVE_DIAL_S
from agent.live.session_events import CaughtUp
from agent.spec import Limits, Moves
from agent.tools.declarations import Tool, declare
from tests.agent.live.calls import AUDIO_100MS, LOUD_200MS, PCM_20MS, Call, running
from tests.fakes.live_connection import FakeConnection, FakeDialer

REFUSED = LiveConnectFailed("the handle was refused", code=1007, setup_sent=True)
NO_ROUTE = LiveConnectFailed("no route")


def piece(number: int) -> bytes:
    return bytes([number, 0]) * 320


def numbers(connection: FakeConnection) -> list[int]:
    return [connection.audio[at] for at in range(0, len(connection.audio), 640)]


async def turn(call: Call, connection: FakeConnection, text: str, handle: str | None) -> None:
    """Let the model say something, the caller hear it, and a handle come."""
    before = len(call.listener.events)
    connection.say(events.OutputTranscribed(text), events.AudioReceived(AUDIO_100MS))
    connection.say(events.GenerationCompleted())
    if handle is not None:
        connection.say(events.TurnCompleted(), events.ResumptionUpdated(handle, True))
    else:
        connection.say(events.TurnCompleted())
    wanted = before + (5 if handle is not None else 4)
    await call.until(lambda: len(call.listener.events) >= wanted)
    call.playout.play(1_000)


async def ask(call: Call, connection: FakeConnection, text: str) -> None:
    """Let the caller say something, which the model understands."""
    for pcm in [LOUD_200MS] * 3 + [PCM_20MS] * 40:
        await call.session.send_caller_audio(pcm)
    connection.say(events.InputTranscribed(text))
    await call.heard(events.InputTranscribed)


async def connections(call: Call, count: int) -> FakeConnection:
    """Wait until there are so many connections, and return the newest."""
    await call.until(lambda: len(call.dialer.connections) >= count)
    return call.dialer.connections[-1]


async def moves(call: Call, count: int) -> None:
    await call.until(lambda: len(call.moves) >= count)


async def test_caller_audio_crosses_a_move_in_order_and_whole() -> None:
    """What was sent last is sent again, what came meanwhile follows, then what comes now."""
    call = Call(FakeDialer())
    async with running(call):
        for number in range(100):
            await call.session.send_caller_audio(piece(number))
            await call.until(lambda number=number: len(call.connection.audio) == 640 * (number + 1))  # type: ignore[misc]  # bound early
        call.dialer.may_open.clear()
        call.connection.lose(1006)
        await call.until(lambda: len(call.dialer.dials) == 2)
        for number in range(100, 150):
            await call.session.send_caller_audio(piece(number))
        call.dialer.may_open.set()
        second = await connections(call, 2)
        for number in range(150, 200):
            await call.session.send_caller_audio(piece(number))
            await asyncio.sleep(0)
        await call.until(lambda: second.audio[-640:] == piece(199))
    assert numbers(call.connection) == list(range(100))
    assert numbers(second) == list(range(50, 200))
    (move,) = call.moves
    assert (move.replayed_ms, move.lost_ms) == (1_000, 0)
    assert 1_000 <= move.held_ms <= 2_000
    assert call.session.counters["caller_audio_lost_ms"] == 0


async def test_old_connection_is_closed_before_the_dial_by_handle() -> None:
    """The server refuses a handle whose session is still connected."""
    call = Call(FakeDialer())
    async with running(call):
        await turn(call, call.connection, "Hello.", "h-1")
        call.connection.say(events.GoAwayReceived(50.0))
        await connections(call, 2)
        await moves(call, 1)
    first, second = call.dialer.dials
    assert (first.handle, first.timeout_s) == (None, None)
    assert (second.handle, second.timeout_s, second.open_then) == ("h-1", MOVE_DIAL_S, 0)
    assert call.connection.closed
    assert call.listener.left == 1
    (move,) = call.moves
    assert (move.cause, move.moment, move.kind) == (
        MoveCause.GO_AWAY,
        MoveMoment.SAFE_POINT,
        MoveKind.RESUME,
    )


async def test_close_that_hangs_is_waited_for_no_longer_than_it_is_worth() -> None:
    """A peer that says nothing costs half a second."""
    call = Call(FakeDialer())
    async with running(call):
        await turn(call, call.connection, "Hello.", "h-1")
        call.connection.hangs_at_close = True
        started_s = time.monotonic()
        call.connection.say(events.GoAwayReceived(50.0))
        await connections(call, 2)
        took_s = time.monotonic() - started_s
        assert call.connection.closed
    assert links.MOVE_CLOSE_S * 0.9 <= took_s < 2.0
    assert call.dialer.dials[1].open_then == 0


async def test_second_connection_is_told_what_its_handle_does_not_know() -> None:
    """And no greeting; a third one is told it again."""
    call = Call(FakeDialer())
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        # What was said before an answer began belongs before it.
        await asyncio.sleep(0.3)
        await ask(call, call.connection, "And then?")
        await turn(call, call.connection, "Two.", None)
        call.connection.lose(1006)
        second = await connections(call, 2)
        await moves(call, 1)
        await turn(call, second, "Three.", "h-2")
        second.lose(1006)
        await connections(call, 3)
        await moves(call, 2)
    for dial, handle in zip(call.dialer.dials[1:], ("h-1", "h-2"), strict=True):
        instruction = dial.opening.system_instruction
        assert dial.handle == handle
        assert "Caller: And then?\nYou: Two." in instruction
        assert "One." not in instruction
        assert "Three." not in instruction
        assert "Do not greet again" in instruction
    assert [turn.said for turn in call.transcript.snapshot()] == [
        "One.",
        "And then?",
        "Two.",
        "Three.",
    ]


async def test_fresh_session_is_told_everything() -> None:
    """The handle was refused: one refill, seeded with what was heard."""
    call = Call(FakeDialer(FakeConnection(), REFUSED))
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        call.connection.lose(1006)
        await connections(call, 2)
        await moves(call, 1)
    resume, refill = call.dialer.dials[1:]
    assert (resume.handle, refill.handle) == ("h-1", None)
    assert "One." not in resume.told
    assert SeedTurn("model", "One.") in refill.history
    assert (call.moves[0].kind, call.moves[0].tries) == (MoveKind.REFILL, 2)


def slow_tool(may_end: asyncio.Event) -> dict[str, Tool]:
    async def order_status(order_number: str) -> str:
        """Look up an order."""
        await may_end.wait()
        return f"{order_number} is ready"

    return {"order_status": declare(order_status)}


REQUEST = events.ToolCallsRequested(
    (events.FunctionCall("id-1", "order_status", {"order_number": "7"}),)
)


async def test_function_that_ends_during_the_move_is_told_to_the_next_connection() -> None:
    """In words, once; the id is the old one's."""
    may_end = asyncio.Event()
    call = Call(FakeDialer(), tools=slow_tool(may_end))
    async with running(call):
        call.connection.say(REQUEST)
        await call.heard(events.ToolCallsRequested)
        call.dialer.may_open.clear()
        call.connection.lose(1006)
        await call.until(lambda: len(call.dialer.dials) == 2)
        may_end.set()
        await asyncio.sleep(0.01)
        call.dialer.may_open.set()
        second = await connections(call, 2)
        await moves(call, 1)
    assert "It runs; you will be told" in call.dialer.dials[1].opening.system_instruction
    ((told, _),) = second.texts
    assert '"7 is ready"' in told
    assert call.connection.responses == second.responses == []


async def test_function_runs_on_across_a_move_and_is_not_run_twice() -> None:
    """The next connection asks for it again and is given the one that runs."""
    may_end = asyncio.Event()
    call = Call(FakeDialer(), tools=slow_tool(may_end))
    async with running(call):
        call.connection.say(REQUEST)
        await call.heard(events.ToolCallsRequested)
        call.connection.lose(1006)
        second = await connections(call, 2)
        again = events.FunctionCall("id-2", "order_status", {"order_number": "7"})
        second.say(events.ToolCallsRequested((again,)))
        await moves(call, 1)
        may_end.set()
        await call.until(lambda: bool(second.responses))
    assert second.responses == [(ToolResponse("id-2", "order_status", {"output": "7 is ready"}),)]
    assert second.texts == []


async def test_standby_serves_where_the_handle_is_refused() -> None:
    """It was opened while the first was being left, and has been told everything."""
    standby = FakeConnection()
    may_end = asyncio.Event()
    dialer = FakeDialer(FakeConnection(), standby, REFUSED)
    call = Call(dialer, moves=Moves(standby=True), tools=slow_tool(may_end))
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        call.connection.say(REQUEST)
        await call.heard(events.ToolCallsRequested)
        call.connection.say(events.GoAwayReceived(50.0))
        await connections(call, 2)
        call.connection.lose(1006)
        await moves(call, 1)
        await call.session.send_caller_audio(PCM_20MS)
        await call.until(lambda: bool(standby.audio))
        await turn(call, standby, "Two.", "h-2")
    assert len(call.dialer.dials) == 3
    told = call.dialer.dials[1]
    assert told.handle is None
    assert SeedTurn("model", "One.") in told.history
    assert call.moves[0].kind is MoveKind.STANDBY
    assert [turn.said for turn in call.transcript.snapshot()] == ["One.", "Two."]


async def test_what_a_standby_says_before_it_serves_is_not_heard() -> None:
    """One voice."""
    standby = FakeConnection()
    call = Call(FakeDialer(FakeConnection(), standby), moves=Moves(standby=True))
    async with running(call):
        call.connection.say(events.OutputTranscribed("One."), events.AudioReceived(AUDIO_100MS))
        call.connection.say(events.GoAwayReceived(50.0))
        await connections(call, 2)
        standby.say(events.AudioReceived(AUDIO_100MS), events.OutputTranscribed("Nobody asked."))
        await asyncio.sleep(0.05)
    heard = [event for event in call.listener.events if isinstance(event, events.AudioReceived)]
    assert len(heard) == 1
    assert [turn.said for turn in call.transcript.snapshot()] == ["One."]
    assert standby.closed


async def test_standby_lost_before_it_is_needed_is_replaced_by_a_dial() -> None:
    """Whether or not the session has been told by then."""
    for told in (True, False):
        standby = FakeConnection()
        dialer = FakeDialer(FakeConnection(), standby, REFUSED)
        call = Call(dialer, moves=Moves(standby=True))
        async with running(call):
            await turn(call, call.connection, "One.", "h-1")
            call.connection.say(events.AudioReceived(AUDIO_100MS), events.GoAwayReceived(50.0))
            await connections(call, 2)
            standby.lose(1006)
            if told:
                await asyncio.sleep(0.01)
            call.connection.lose(1006)
            newest = await connections(call, 3)
            newest.say(events.AudioReceived(AUDIO_100MS))
            await moves(call, 1)
            assert newest is not standby
            await call.session.send_caller_audio(PCM_20MS)
            await call.until(lambda newest=newest: bool(newest.audio))  # type: ignore[misc]  # bound early
        assert call.moves[-1].kind is MoveKind.REFILL


class HeldDialer(FakeDialer):
    """Lets the test decide which dial completes first."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Event] = []

    async def connect(self, *args, **options) -> FakeConnection:  # type: ignore[no-untyped-def]  # as FakeDialer
        gate = asyncio.Event()
        self.gates.append(gate)
        if len(self.gates) == 1:
            gate.set()
        await gate.wait()
        return await super().connect(*args, **options)


async def test_standby_that_comes_up_too_late_is_closed() -> None:
    """A turn was completed while it was dialled; the newer one is kept."""
    dialer = HeldDialer()
    call = Call(dialer, moves=Moves(standby=True))
    async with running(call):
        await connections(call, 1)
        call.connection.say(events.AudioReceived(AUDIO_100MS), events.GoAwayReceived(50.0))
        await call.until(lambda: len(dialer.gates) == 2)
        call.connection.say(events.AudioReceived(AUDIO_100MS), events.TurnCompleted())
        call.connection.say(events.AudioReceived(AUDIO_100MS))
        await call.until(lambda: len(dialer.gates) == 3)
        dialer.gates[2].set()
        wanted = await connections(call, 2)
        dialer.gates[1].set()
        late = await connections(call, 3)
        await call.until(lambda: late.closed)
        assert not wanted.closed
        assert not call.connection.closed


async def test_send_stuck_on_a_connection_that_is_left_is_no_loss_of_the_next() -> None:
    """The network takes nothing; the server's deadline comes; what was stuck is sent elsewhere."""
    first, second = FakeConnection(), FakeConnection()
    call = Call(FakeDialer(first, second))
    async with running(call) as task:
        await turn(call, first, "One.", "h-1")
        first.congested = first.stuck = True
        for number in range(10):
            await call.session.send_caller_audio(piece(number))
        await asyncio.sleep(0.01)
        first.say(events.InteractionStatusChanged("IN_PROGRESS"), events.GoAwayReceived(0.0))
        await connections(call, 2)
        await call.until(lambda: second.audio[-640:] == piece(9))
        await moves(call, 1)
        assert not task.done()
    assert numbers(second) == list(range(10))
    assert len(call.moves) == 1
    assert len(call.dialer.dials) == 2


async def test_gap_is_filled_once_and_cut_leftover_is_counted() -> None:
    """What the model before had said is heard, until the caller speaks over it."""
    call = Call(FakeDialer())
    async with running(call):
        for _ in range(10):
            call.connection.say(events.AudioReceived(AUDIO_100MS))
        await call.until(lambda: call.playout.offered_ms() == 1_000)
        call.session.bot_started()
        call.dialer.may_open.clear()
        call.connection.lose(1006)
        await call.until(lambda: len(call.dialer.dials) == 2)
        call.playout.play(300)
        for _ in range(5):
            await call.session.send_caller_audio(LOUD_200MS)
        await call.heard(events.Interrupted)
        call.session.bot_stopped()
        call.dialer.may_open.set()
        await moves(call, 1)
    assert call.moves[0].cut_ms == pytest.approx(700)
    assert [record.cut_ms for record in call.session.barge_ins] == [pytest.approx(700)]


async def test_caller_hears_the_filler_when_nothing_comes() -> None:
    """A question, a loss, and no route: after a second and a half somebody is there."""
    notes = PcmChunk(bytes(4_800), 24_000)
    dialer = FakeDialer(FakeConnection(), error=NO_ROUTE)
    call = Call(dialer, moves=Moves(budget_s=3.0))
    call.session._filler = notes
    async with running(call) as task:
        await call.until(lambda: bool(call.dialer.connections))
        await ask(call, call.connection, "When?")
        call.connection.lose(1006)
        async with asyncio.timeout(6):
            end = await task
    assert end.reason is EndReason.LIVE_LOST
    assert call.listener.fillers == [notes]
    assert call.session.counters["fillers"] == 1
    assert call.moves[0].kind is None
    assert call.moves[0].gap_ms == pytest.approx(3_000, abs=300)


async def test_fallback_model_is_dialled_with_its_own_name() -> None:
    """Everything else stays as the agent's file has it."""
    quota = "You exceeded your current quota, please check your plan"
    fallback = "gemini-2.5-flash-native-audio-latest"
    call = Call(FakeDialer(), moves=Moves(fallback_models=(fallback,)))
    async with running(call):
        await turn(call, call.connection, "One.", "h-1")
        call.connection.lose(1011, quota)
        await moves(call, 1)
    first, second = call.dialer.dials
    assert (second.spec.model, second.handle) == (fallback, None)
    assert second.spec.voice == first.spec.voice
    assert call.moves[0].model == fallback


async def test_caller_who_hangs_up_during_a_move_leaves_a_report() -> None:
    """And nothing else."""
    call = Call(FakeDialer())
    async with running(call) as task:
        await call.session.send_caller_audio(PCM_20MS)
        await call.heard(CaughtUp)
        call.dialer.may_open.clear()
        call.connection.lose(1006)
        await call.until(lambda: len(call.dialer.dials) == 2)
        call.session.end(EndReason.CALLER_HUNG_UP)
        end = await task
    assert end.reason is EndReason.CALLER_HUNG_UP
    assert [move.kind for move in call.moves] == [None]
    assert call.moves == call.session.moves


@pytest.mark.parametrize("where", ["closing", "dialling", "sending"])
async def test_session_cancelled_in_the_middle_of_a_move_leaves_nothing(where: str) -> None:
    """No task, no socket, wherever it was."""
    second = FakeConnection()
    second.stuck = where == "sending"
    call = Call(FakeDialer(FakeConnection(), second))
    async with running(call) as task:
        await call.session.send_caller_audio(PCM_20MS)
        await call.heard(CaughtUp)
        call.connection.hangs_at_close = where == "closing"
        if where == "dialling":
            call.dialer.may_open.clear()
        call.connection.lose(1006)
        if where == "closing":
            await asyncio.sleep(0.05)
            assert len(call.dialer.dials) == 1
        else:
            await call.until(lambda: len(call.dialer.dials) == 2)
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert all(connection.closed for connection in call.dialer.connections)


async def test_many_moves_in_one_call_lose_nothing() -> None:
    """Twelve connections, each with a turn of its own."""
    call = Call(FakeDialer(), limits=Limits(max_call_s=3_600))
    async with running(call):
        connection = call.connection
        for number in range(12):
            await call.until(lambda number=number: len(call.dialer.connections) == number + 1)  # type: ignore[misc]  # bound early
            connection = call.dialer.connections[-1]
            await call.session.send_caller_audio(piece(number))
            await turn(call, connection, f"Answer {number}.", f"h-{number}")
            connection.say(events.GoAwayReceived(50.0))
            await moves(call, number + 1)
    assert [dial.handle for dial in call.dialer.dials] == [None, *(f"h-{n}" for n in range(12))]
    assert all(dial.open_then == 0 for dial in call.dialer.dials)
    assert [turn.said for turn in call.transcript.snapshot()] == [f"Answer {n}." for n in range(12)]
    heard = [number for connection in call.dialer.connections for number in numbers(connection)]
    assert heard == list(range(12))
