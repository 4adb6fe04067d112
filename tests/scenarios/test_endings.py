"""How calls end, and what becomes of those that do not end with their stream."""

from __future__ import annotations

from pathlib import Path

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.spec import Limits
from telephony.calls.status import CallStatus
from tests.scenarios.rig import (
    ANSWER,
    APOLOGY,
    COLLEAGUE,
    GOODBYE,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    evercall,
    held,
    lost_ms,
    played_ms,
    said,
    spoken_ms,
    until,
)
from workers.twin.caller import (
    CallerScript,
    DropSocket,
    HangUp,
    Say,
    StaySilent,
    Tone,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.faults import Close
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn
from workers.twin.twilio_api.callee import CalleeBehaviour

BACK = "I am back."
# A person counts the agent's speech since they last made a sound; this one nobody hears.
LISTEN_ANEW = Say(bytes(320))


def goes_on(*turns: Turn) -> LiveScript:
    """A model that greets when asked to, and otherwise says that it is back."""
    return LiveScript(
        texts=(
            TextRule("has just been answered", (script.Say(GREETING),)),
            TextRule("line was cut|were cut off", (script.Say(BACK),)),
            TextRule("nobody answered", (script.Say("Nobody there."),)),
        ),
        turns=turns,
        otherwise=(script.Say(ANSWER),),
        answer_delay_s=0.1,
    )


async def test_caller_hangs_up_in_mid_sentence(tmp_path: Path) -> None:
    """The session is closed, the rest of the sentence is not called heard, Twilio hangs up."""
    long = "We have rye bread, white bread, rolls, cakes and a lot of other things for you."
    model = LiveScript(opening=(script.Say(long),), answer_delay_s=0.1)
    async with evercall(tmp_path, model) as rig:
        result, record = await rig.call(WaitAgentSpoke(1_000), HangUp())
        await until(lambda: not rig.live.open_sessions)
        await rig.until_counted("evercall_call_seconds_count", 1)
    assert result.status == "completed"
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    (turn,) = record.turns
    assert turn.heard_ms < spoken_ms(long) - 500
    assert long.startswith(turn.heard)
    assert 900 <= turn.heard_ms <= played_ms(result, 0) + 30
    (session,) = rig.live.sessions
    assert session.closed_by == "client"
    assert not result.warnings


async def test_agent_hangs_up_after_its_goodbye_was_heard(tmp_path: Path) -> None:
    """The call ends when the phone has played the last word of the goodbye, and soon after."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn("Bye now.", (CallTool("end_call"), script.Say(GOODBYE))),),
        answer_delay_s=0.1,
    )
    async with evercall(tmp_path, model, agent=bakery(tools=("end_call",))) as rig:
        result, record = await rig.call(WaitAgentDone(300), Say("Bye now."), StaySilent())
        await rig.until_counted("evercall_call_seconds_count", 1)
    assert result.status == "completed"
    assert record.end_reason is EndReason.AGENT_HUNG_UP
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(GOODBYE)) <= 80
    last_word_s = result.played_ms[-1][1] / 1000
    assert 0 <= result.duration_s - last_word_s < 1.0
    assert agent_turns(record)[-1].heard == GOODBYE
    assert [tool.name for tool in record.tools] == ["end_call"]
    assert len(rig.live.sessions[0].tool_responses) == 1
    assert [turn.interrupted for turn in agent_turns(record)] == [False, False]
    assert not any(code != 31921 for code, _ in result.warnings)


async def test_transfer_that_is_answered_leaves_the_agent(tmp_path: Path) -> None:
    """The caller hears the announcement, then the colleague; no session comes back."""
    model = goes_on(
        Turn(
            "A person, please.",
            (CallTool("transfer_call", {"destination": "front desk"}), script.Say("One moment.")),
        )
    )
    spec = bakery(tools=("transfer_call",), transfer={"front desk": COLLEAGUE})
    dialled: list[str] = []

    def colleague(to: str) -> CalleeBehaviour:
        dialled.append(to)
        return CalleeBehaviour(script=CallerScript.of(WaitStream(60), Tone(700, 600), HangUp()))

    async with evercall(tmp_path, model, agent=spec) as rig:
        rig.twilio.on_dial = colleague
        result, record = await rig.call(WaitAgentDone(300), Say("A person, please."), StaySilent())
        assert len(rig.live.sessions) == 1
        (event,) = await rig.events(record.call_sid, "transfer")
    assert dialled == [COLLEAGUE]
    assert result.status == "completed"
    assert event.payload["bridged"] is True
    assert record.end_reason is EndReason.TRANSFERRED
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, "One moment."]
    assert record.tools[0].args == {"destination": "front desk"}
    # The colleague is heard after the announcement (and after what they are told of the call,
    # which the caller does not hear: test_transfer_briefing).
    announced = spoken_ms(GREETING) + spoken_ms("One moment.")
    assert abs(played_ms(result, 0) - announced - 600) <= 100


async def test_transfer_that_nobody_answers_comes_back_to_the_agent(tmp_path: Path) -> None:
    """A new stream and session know what was said and why, and do not greet again."""
    model = goes_on(
        Turn(
            "A person, please.",
            (CallTool("transfer_call", {"destination": "front desk"}), script.Say("One moment.")),
        )
    )
    spec = bakery(tools=("transfer_call",), transfer={"front desk": COLLEAGUE})
    async with evercall(tmp_path, model, agent=spec) as rig:
        rig.twilio.on_dial = lambda _to: CalleeBehaviour(outcome="busy")
        result, record = await rig.call(
            WaitAgentDone(300),
            Say("A person, please."),
            WaitAgentDone(100),
            LISTEN_ANEW,
            WaitAgentDone(300),
            HangUp(),
        )
    first, second = rig.live.sessions
    assert not first.open
    assert GREETING in held(second)
    assert "A person, please." in held(second)
    assert any("nobody answered" in text for text in second.texts)
    assert not any("has just been answered" in text for text in second.texts)
    heard = [turn.heard for turn in agent_turns(record)]
    assert heard == [GREETING, "One moment.", "Nobody there."]
    assert [stream.end_reason for stream in record.streams] == [
        EndReason.TRANSFERRED,
        EndReason.CALLER_HUNG_UP,
    ]
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    assert result.script_finished


async def test_lost_socket_is_followed_by_another_stream_that_knows_what_was_said(
    tmp_path: Path,
) -> None:
    """Broken off without ``stop``, the call goes on: no second greeting, no question forgotten.

    Where nobody was owed a word, none is said about it.
    """
    async with evercall(tmp_path, goes_on()) as rig:
        result, record = await rig.call(
            WaitAgentDone(300),
            Say(QUESTION),
            WaitAgentDone(300),
            DropSocket(),
            WaitStream(),
            WaitSeconds(0.5),
            Say(QUESTION),
            LISTEN_ANEW,
            WaitAgentDone(300),
            HangUp(),
        )
        await rig.until_counted("evercall_call_seconds_count", 1)
    first, second = rig.live.sessions
    assert not first.open
    assert second.resumed_from == first.number
    for text in (GREETING, ANSWER):
        assert text in held(second)
    assert not any("has just been answered" in text for text in second.texts)
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER, ANSWER]
    assert [move.cause for move in record.moves] == [MoveCause.TAKEOVER]
    assert [stream.end_reason for stream in record.streams] == [
        EndReason.STREAM_LOST,
        EndReason.CALLER_HUNG_UP,
    ]
    assert [turn.started_s for turn in record.turns] == sorted(
        turn.started_s for turn in record.turns
    )
    assert lost_ms(record) == 0
    assert result.script_finished


async def test_fourth_loss_ends_in_an_apology(tmp_path: Path) -> None:
    """A stream that is lost is replaced three times; then the caller hears why."""
    lose = (WaitStream(), WaitAgentStarts(), DropSocket(), WaitSeconds(0.1))
    async with evercall(tmp_path, goes_on()) as rig:
        result, record = await rig.call(*lose, *lose, *lose, *lose, StaySilent())
    assert result.status == "completed"
    assert len(rig.live.sessions) == 4
    assert [stream.end_reason for stream in record.streams] == [EndReason.STREAM_LOST] * 4
    assert APOLOGY in said(result)
    assert played_ms(result, result.named("stream-stopped")[-1].at_s) >= spoken_ms(APOLOGY) - 60
    assert record.end_reason is EndReason.STREAM_LOST


async def test_live_connection_that_closes_is_replaced_in_the_same_stream(tmp_path: Path) -> None:
    """The caller hears the rest of the sentence from the next connection, and is not greeted."""
    long = "We have rye bread, white bread, rolls, cakes and a lot of other things for you."
    model = goes_on(Turn(QUESTION, (script.Say(long),)))
    fault = Close(sessions=frozenset({1}), answer=2, audio_ms=2_000, code=1011, reason="Internal.")
    async with evercall(tmp_path, model, faults=[fault]) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(1_500), HangUp()
        )
    first, second = rig.live.sessions
    assert second.resumed_from == first.number
    assert any("cut off" in text for text in second.texts)
    assert not any("has just been answered" in text for text in second.texts)
    # What was said and heard after the handle was made.
    assert long[:20] in held(second)
    greeting, cut, rest = agent_turns(record)
    assert (greeting.heard, rest.heard) == (GREETING, BACK)
    assert long.startswith(cut.heard)
    assert len(cut.heard) < len(long)
    (move,) = record.moves
    assert (move.cause, move.moment, move.kind) == (
        MoveCause.LOST,
        MoveMoment.ABRUPT,
        MoveKind.RESUME,
    )
    assert "code 1011: Internal." in move.detail
    assert [stream.end_reason for stream in record.streams] == [EndReason.CALLER_HUNG_UP]
    assert lost_ms(record) == 0
    assert result.status == "completed"
    assert not result.named("clear")


async def test_live_connection_that_breaks_off_is_replaced_unnoticed(tmp_path: Path) -> None:
    """Without a close frame, while nobody speaks: the caller misses nothing and is answered."""
    fault = Close(sessions=frozenset({1}), turn=1, delay_s=1.5, code=1006)
    async with evercall(tmp_path, goes_on(), faults=[fault]) as rig:
        result, record = await rig.call(
            WaitAgentDone(300),
            WaitSeconds(2.5),
            Say(QUESTION),
            WaitAgentDone(300),
            HangUp(),
        )
    first, second = rig.live.sessions
    assert second.resumed_from == first.number
    # Nothing was owed to the caller, so that the model is asked for nothing.
    assert second.texts == []
    (move,) = record.moves
    assert (move.cause, move.kind, move.gap_ms) == (MoveCause.LOST, MoveKind.RESUME, 0)
    assert "code 1006" in move.detail
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
    assert lost_ms(record) == 0
    assert len(record.streams) == 1


async def test_call_ends_when_it_is_as_long_as_it_may_be(tmp_path: Path) -> None:
    """The limit of the agent's file ends the call, not the line's patience."""
    spec = bakery(limits=Limits(max_call_s=2, answer_timeout_s=5))
    async with evercall(tmp_path, agent=spec) as rig:
        result, record = await rig.call(StaySilent())
    assert record.end_reason is EndReason.MAX_DURATION
    assert 1.9 <= result.duration_s <= 4.0
    assert result.status == "completed"


async def test_call_ends_when_nobody_speaks(tmp_path: Path) -> None:
    """A forgotten phone does not keep a session open."""
    spec = bakery(limits=Limits(idle_s=1, answer_timeout_s=5))
    async with evercall(tmp_path, agent=spec) as rig:
        result, record = await rig.call(StaySilent())
    assert record.end_reason is EndReason.IDLE
    assert [turn.heard for turn in record.turns] == [GREETING]
    assert result.status == "completed"


async def test_worker_that_stops_keeps_what_was_said(tmp_path: Path) -> None:
    """A call that is cut off by the worker's own end is in the store, as far as it went."""
    async with evercall(tmp_path) as rig:
        call = await rig.ring(WaitAgentDone(300), StaySilent())
        await until(lambda: call.sid in rig.worker.runner.live)
        live = rig.worker.runner.live[call.sid]
        await until(lambda: any(turn.heard == GREETING for turn in live.transcript.snapshot()))
        await rig.worker.server.__aexit__(None, None, None)
        result = await call.wait(20)
        record = await rig.record(call.sid)
        rig.worker.active.note_status(call.sid, CallStatus.COMPLETED)
    assert [turn.heard for turn in record.turns] == [GREETING]
    assert record.end_reason in (EndReason.STREAM_LOST, EndReason.WORKER_STOPPED)
    assert result.status == "completed"
    assert rig.live.sessions[0].closed_by == "client"
