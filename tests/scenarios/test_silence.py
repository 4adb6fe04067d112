"""No caller is left in silence: a model that does not answer, a Live API that will not have us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.live.filler import soft_notes
from agent.spec import AgentSpec, Limits, Moves
from tests.scenarios.rig import (
    ANSWER,
    APOLOGY,
    COLLEAGUE,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    evercall,
    held,
    played_ms,
    said,
    spoken_ms,
)
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Say,
    StaySilent,
    Tone,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.faults import (
    Fault,
    HangBeforeSetup,
    NeverAnswer,
    PhantomInterrupt,
    RefuseUpgrade,
)
from workers.twin.live_api.script import LiveScript, TextRule, Turn
from workers.twin.twilio_api.callee import CalleeBehaviour

REST = "And much more."
BUDGET_S = 2.5
FILLER_MS = soft_notes().duration_ms


def impatient(**fields: Any) -> AgentSpec:
    return bakery(limits=Limits(answer_timeout_s=1, connect_timeout_s=0.7), **fields)


async def test_model_that_never_speaks_is_left_and_the_next_one_excused(tmp_path: Path) -> None:
    """No greeting comes from two connections in a row: the carrier's voice apologises."""
    async with evercall(tmp_path, agent=impatient(), faults=[NeverAnswer()]) as rig:
        result, record = await rig.call(StaySilent())
    assert f">{APOLOGY}</Say>" in said(result)
    assert abs(played_ms(result, 0) - spoken_ms(APOLOGY)) <= 60
    assert result.status == "completed"
    assert result.duration_s < 8
    assert record.end_reason is EndReason.MODEL_SILENT
    assert record.turns == []
    assert len(record.streams) == 1
    first, second = rig.live.sessions
    # Both were asked for it.
    assert all(GREETING in session.texts[0] for session in (first, second))
    (move,) = record.moves
    assert (move.cause, move.kind) == (MoveCause.SILENT, MoveKind.REFILL)


async def test_model_that_stops_answering_is_asked_then_left_for_a_fresh_session(
    tmp_path: Path,
) -> None:
    """It is asked once more; the next session hears the question and answers it."""
    faults = [NeverAnswer(sessions=frozenset({1}), answer=2)]
    async with evercall(tmp_path, agent=impatient(), faults=faults) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentStarts(), WaitAgentDone(1_200), HangUp()
        )
    first, second = rig.live.sessions
    assert any("waiting for your answer" in text for text in first.texts)
    assert second.resumed_from is None
    assert GREETING in held(second)
    assert len(second.heard) == 1
    (move,) = record.moves
    assert (move.cause, move.moment, move.kind) == (
        MoveCause.SILENT,
        MoveMoment.ABRUPT,
        MoveKind.REFILL,
    )
    # The gap began with the model's silence, not with the move.
    assert move.gap_ms >= 1_000
    assert move.replayed_ms >= spoken_ms(QUESTION) - 100
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert [stream.end_reason for stream in record.streams] == [EndReason.CALLER_HUNG_UP]
    assert APOLOGY not in said(result)


async def test_second_silence_in_a_row_is_excused(tmp_path: Path) -> None:
    """A fresh session that does not answer the same question either is not followed by a third."""
    faults = [
        NeverAnswer(sessions=frozenset({1}), answer=2),
        NeverAnswer(sessions=frozenset({2}), answer=1),
    ]
    async with evercall(tmp_path, agent=impatient(), faults=faults) as rig:
        result, record = await rig.call(WaitAgentDone(300), Say(QUESTION), StaySilent())
    for session in rig.live.sessions:
        assert sum("waiting for your answer" in text for text in session.texts) == 1
    assert len(rig.live.sessions) == 2
    assert record.end_reason is EndReason.MODEL_SILENT
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]
    assert f">{APOLOGY}</Say>" in said(result)
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(APOLOGY)) <= 80


@pytest.mark.parametrize(
    ("setting", "agent", "settings"),
    [
        ("GOOGLE_API_KEY", {}, {"google_api_key": "wrong-key"}),
        ("model", {"model": "gemini-1.0-live"}, {}),
        ("voice", {"voice": "Nobody"}, {}),
    ],
)
async def test_refusal_is_an_apology_and_a_line_in_the_log(
    tmp_path: Path, setting: str, agent: dict[str, Any], settings: dict[str, Any]
) -> None:
    """The log names the setting to look at, without a traceback; the caller hears the apology."""
    async with evercall(tmp_path, agent=impatient(**agent), **settings) as rig:
        result, record = await rig.call(StaySilent())
        logged = await rig.until_logged("live.connect_failed")
    assert abs(played_ms(result, 0) - spoken_ms(APOLOGY)) <= 60
    assert record.end_reason is EndReason.LIVE_REFUSED
    assert record.detail.startswith(f"{setting}: ")
    assert logged["detail"].startswith(f"{setting}: ")
    assert logged["call_sid"] == record.call_sid
    assert "Traceback" not in rig.log_text
    assert "wrong-key" not in rig.log_text
    # It would be the same the next time.
    assert len(record.streams) == 1


@pytest.mark.parametrize("fault", [HangBeforeSetup(), RefuseUpgrade(status=503)])
async def test_live_api_that_is_ill_is_tried_again_and_then_excused(
    tmp_path: Path, fault: Fault
) -> None:
    """What may pass is tried for ``moves.budget_s``, in one stream; then comes the apology."""
    spec = impatient(moves=Moves(budget_s=BUDGET_S))
    async with evercall(tmp_path, agent=spec, faults=[fault]) as rig:
        result, record = await rig.call(StaySilent())
        tries = len(rig.live.sessions) + len(rig.live.refusals)
    assert f">{APOLOGY}</Say>" in said(result)
    assert abs(played_ms(result, 0) - FILLER_MS - spoken_ms(APOLOGY)) <= 80
    (stream,) = record.streams
    assert stream.end_reason is EndReason.LIVE_LOST
    assert f"no Live connection for {BUDGET_S:g} s; the last try: " in stream.detail
    assert stream.ended_s is not None
    assert abs(stream.ended_s - stream.started_s - BUDGET_S) < 0.5
    assert tries >= 2
    assert result.status == "completed"
    assert "Traceback" not in rig.log_text


async def test_live_api_that_is_ill_leaves_the_caller_to_a_person(tmp_path: Path) -> None:
    """Where the agent's file names one, the caller is put through instead of apologised to."""
    spec = impatient(
        moves=Moves(budget_s=BUDGET_S, person="front desk"), transfer={"front desk": COLLEAGUE}
    )
    dialled: list[str] = []

    def colleague(to: str) -> CalleeBehaviour:
        dialled.append(to)
        return CalleeBehaviour(script=CallerScript.of(WaitStream(60), Tone(700, 600), HangUp()))

    async with evercall(tmp_path, agent=spec, faults=[RefuseUpgrade()]) as rig:
        rig.twilio.on_dial = colleague
        result, record = await rig.call(StaySilent())
    assert dialled == [COLLEAGUE]
    assert abs(played_ms(result, 0) - FILLER_MS - 600) <= 80
    assert APOLOGY not in said(result)
    assert [stream.end_reason for stream in record.streams] == [EndReason.LIVE_LOST]


async def test_live_api_that_recovers_serves_the_call(tmp_path: Path) -> None:
    """A first connection that fails costs a moment of the same stream; one greeting is said."""
    faults = [HangBeforeSetup(sessions=frozenset({1}))]
    async with evercall(tmp_path, agent=impatient(), faults=faults) as rig:
        _, record = await rig.call(WaitAgentDone(300), HangUp())
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]
    assert [stream.end_reason for stream in record.streams] == [EndReason.CALLER_HUNG_UP]
    # The way to the first connection is no move.
    assert record.moves == []


@pytest.mark.parametrize("quiet", [True, False], ids=["phantom", "barge_in"])
async def test_interruption_that_nobody_made_silences_nobody(tmp_path: Path, quiet: bool) -> None:
    """The server says ``interrupted``: the phone is cleared only if the caller made a sound.

    After a phantom the caller hears all that came, and the rest on request.
    """
    long = "We have rye bread, white bread, rolls, cakes and a lot of other things for you."
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn(QUESTION, (script.Say(long),)),),
        texts=(TextRule("cut off", (script.Say(REST),)),),
        otherwise=(script.Say(ANSWER),),
        answer_delay_s=0.1,
        # Slow enough for the model to be still speaking when the caller has long been quiet.
        speed=1.1,
    )
    faults = [PhantomInterrupt(answer=2, audio_ms=2_500)] if quiet else []
    interrupts = () if quiet else (WaitAgentSpoke(1_500), Say("No, thank you very much."))
    async with evercall(tmp_path, model, faults=faults) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), *interrupts, WaitAgentDone(1_000), HangUp()
        )
    (session,) = rig.live.sessions
    assert bool(result.named("clear")) is not quiet
    assert len(record.barge_ins) == (0 if quiet else 1)
    assert sum("cut off" in text for text in session.texts) == (1 if quiet else 0)
    assert record.moves == []
    _, cut, last = agent_turns(record)
    assert last.heard == (REST if quiet else ANSWER)
    if quiet:
        heard_ms = played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(REST)
        assert abs(heard_ms - cut.said_ms) <= 80
        assert cut.said_ms >= 2_400
