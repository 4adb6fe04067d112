"""Whoever takes a call over hears first what it is about; the caller does not hear that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.conversation.record import EndReason
from agent.spec import Context
from tests.scenarios.rig import (
    ANSWER,
    COLLEAGUE,
    GREETING,
    Rig,
    agent_turns,
    bakery,
    evercall,
    played_ms,
    spoken_ms,
    until,
)
from tests.tone import amplitude_at
from workers.call import handover
from workers.twin import phone_audio
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Say,
    StaySilent,
    Step,
    Tone,
    WaitAgentDone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.delivery import Deliverer
from workers.twin.twilio_api.result import CallResult

WISH = "My name is Anna Schmidt, put me through."
MOMENT = "One moment."
AGENT = bakery(
    tools=("transfer_call",), transfer={"front desk": COLLEAGUE}, apology_language="en-GB"
)
MODEL = LiveScript(
    texts=(
        TextRule("has just been answered", (script.Say(GREETING),)),
        TextRule("nobody answered", (script.Say("Nobody there."),)),
    ),
    turns=(
        Turn(WISH, (CallTool("transfer_call", {"destination": "front desk"}), script.Say(MOMENT))),
    ),
    otherwise=(script.Say(ANSWER),),
    answer_delay_s=0.1,
)
# What a caller says until they are put through.
ASKS = (WaitAgentDone(300), Say(WISH), StaySilent())


def answered_by(rig: Rig, *steps: Step) -> None:
    """Say what the colleague does from the moment they have answered."""
    rig.twilio.on_dial = lambda _to: CalleeBehaviour(script=CallerScript.of(*steps))


def loudness(ulaw: bytes, hz: float) -> float:
    return amplitude_at(phone_audio.to_pcm(ulaw), hz, rate_hz=8_000)


def told(leg: CallResult) -> str:
    """What the worker had said to the colleague; empty where it was nothing."""
    (hook,) = leg.webhooks
    assert hook.status == 200
    return "".join(ET.fromstring(hook.body.decode()).itertext())


async def test_colleague_is_briefed_and_then_connected(tmp_path: Path) -> None:
    """They hear who wants what; the caller hears none of it; then the two hear each other."""
    async with evercall(tmp_path, MODEL, agent=AGENT) as rig:
        answered_by(rig, WaitStream(60), Tone(700, 600), HangUp())
        result, record = await rig.call(*ASKS, timeout_s=90)
        (event,) = await rig.events(record.call_sid, "transfer")
    (leg,) = result.legs
    briefing = told(leg)
    assert "Anna Schmidt" in briefing
    assert len(briefing) <= 600
    spoken = phone_audio.said(briefing).ulaw()
    # The colleague hears it whole and before anything else, the caller not a frame of it.
    at = leg.heard.find(spoken)
    assert at > 0
    assert set(leg.heard[:at]) == {0xFF}
    assert spoken[:8_000] not in result.heard
    (bridged,) = result.named("bridged")
    assert bridged.at_s >= leg.dialled_at_s + (at + len(spoken)) / 8_000 - 0.05
    before_s = spoken_ms(GREETING) + spoken_ms(MOMENT)
    assert abs(played_ms(result, 0, bridged.at_s) - before_s) <= 100
    assert loudness(result.heard[: round(bridged.at_s * 8_000)], 700) < 500
    assert loudness(result.heard[round(bridged.at_s * 8_000) :], 700) > 1_000
    assert event.payload == {"status": "completed", "bridged": True}
    assert record.end_reason is EndReason.TRANSFERRED
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, MOMENT]
    assert not leg.warnings
    assert 'language="en-GB"' in leg.webhooks[0].body.decode()


async def test_question_that_twilio_repeats_meets_the_same_answer(tmp_path: Path) -> None:
    """While the two speak, and when the call is over: then there is nothing to say any more."""
    async with evercall(tmp_path, MODEL, agent=AGENT) as rig:
        answered_by(rig, WaitStream(60), Tone(700, 1_500), HangUp())
        call = await rig.ring(*ASKS)
        await until(lambda: bridged(call.line.journal.events), timeout_s=60)
        (leg,) = call.line.legs
        (hook,) = leg.journal.webhooks
        deliverer = Deliverer(rig.twilio.auth_token)
        again = await deliverer.deliver(hook.url, hook.params, method=hook.method)
        assert (again.status, again.body) == (200, hook.body)
        result = await call.wait(60)
        await until(lambda: rig.worker.active.get(result.sid) is None)
        assert await rig.worker.store.flush()
        late = await deliverer.deliver(hook.url, hook.params, method=hook.method)
        await deliverer.close()
        assert late.status == 200
        assert list(ET.fromstring(late.body.decode())) == []
    assert result.status == "completed"


async def test_colleague_who_hangs_up_on_the_briefing_has_not_taken_over(tmp_path: Path) -> None:
    """The caller comes back to the agent, which says so."""
    async with evercall(tmp_path, MODEL, agent=AGENT) as rig:
        answered_by(rig, WaitSeconds(0.5), HangUp())
        result, record = await rig.call(
            WaitAgentDone(300),
            Say(WISH),
            WaitAgentDone(100),
            Say(bytes(320)),
            WaitAgentDone(300),
            HangUp(),
            timeout_s=60,
        )
        (event,) = await rig.events(record.call_sid, "transfer")
    assert event.payload == {"status": "completed", "bridged": False}
    assert not result.named("bridged")
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, MOMENT, "Nobody there."]


async def test_agent_that_wants_no_briefing_has_none(tmp_path: Path) -> None:
    """``context.briefing: false``: Twilio is not even told to ask."""
    agent = replace(AGENT, context=Context(briefing=False))
    async with evercall(tmp_path, MODEL, agent=agent) as rig:
        answered_by(rig, WaitStream(), Tone(700, 600), HangUp())
        result, _ = await rig.call(*ASKS)
    (leg,) = result.legs
    assert leg.webhooks == ()
    assert not leg.named("say")
    assert result.named("bridged")


async def test_briefing_that_cannot_be_made_costs_no_transfer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two are connected without it, and the log says why."""
    monkeypatch.setattr(handover, "briefing", broken)
    async with evercall(tmp_path, MODEL, agent=AGENT) as rig:
        answered_by(rig, WaitStream(), Tone(700, 600), HangUp())
        result, _ = await rig.call(*ASKS)
        assert rig.logged("call.no_briefing")
    assert result.named("bridged")


def broken(*_: object, **__: object) -> str:
    raise RuntimeError("a bug")


def bridged(events: object) -> bool:
    assert isinstance(events, list)
    return any(event.kind == "bridged" for event in events)
