"""No caller is left in silence: a model that does not answer, a Live API that will not have us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.conversation.record import EndReason
from agent.spec import AgentSpec, Limits
from tests.scenarios.rig import (
    APOLOGY,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    evercall,
    played_ms,
    said,
    spoken_ms,
)
from workers.twin.caller import Say, StaySilent, WaitAgentDone
from workers.twin.live_api.faults import Fault, HangBeforeSetup, NeverAnswer, RefuseUpgrade


def impatient(**fields: Any) -> AgentSpec:
    return bakery(limits=Limits(answer_timeout_s=1, connect_timeout_s=0.7), **fields)


async def test_model_that_never_speaks_is_excused(tmp_path: Path) -> None:
    """No greeting comes: the caller hears the apology by Twilio's own voice, then the line ends."""
    async with evercall(tmp_path, agent=impatient(), faults=[NeverAnswer()]) as rig:
        result, record = await rig.call(StaySilent())
    assert f">{APOLOGY}</Say>" in said(result)
    assert abs(played_ms(result, 0) - spoken_ms(APOLOGY)) <= 60
    assert result.status == "completed"
    assert result.duration_s < 6
    assert record.end_reason is EndReason.MODEL_SILENT
    assert record.turns == []
    assert len(rig.live.sessions) == 1


async def test_model_that_stops_answering_is_excused(tmp_path: Path) -> None:
    """After a question it is asked once more, then the caller hears the apology."""
    async with evercall(tmp_path, agent=impatient(), faults=[NeverAnswer(answer=2)]) as rig:
        result, record = await rig.call(WaitAgentDone(300), Say(QUESTION), StaySilent())
    assert any("waiting for your answer" in text for text in rig.live.sessions[0].texts)
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(APOLOGY)) <= 80
    assert record.end_reason is EndReason.MODEL_SILENT
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]


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
    """What may pass gets two more tries, each on a stream of its own; then comes the apology."""
    async with evercall(tmp_path, agent=impatient(), faults=[fault]) as rig:
        result, record = await rig.call(StaySilent())
    assert abs(played_ms(result, 0) - spoken_ms(APOLOGY)) <= 60
    assert [stream.end_reason for stream in record.streams] == [EndReason.LIVE_LOST] * 3
    assert result.status == "completed"
    assert result.duration_s < 8
    assert "Traceback" not in rig.log_text


async def test_live_api_that_recovers_serves_the_call(tmp_path: Path) -> None:
    """A first connection that fails costs a moment, and the greeting is still said once."""
    faults = [HangBeforeSetup(sessions=frozenset({1}))]
    async with evercall(tmp_path, agent=impatient(), faults=faults) as rig:
        _, record = await rig.call(WaitAgentDone(300), StaySilent(), max_call_s=4)
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]
    assert record.streams[0].end_reason is EndReason.LIVE_LOST
