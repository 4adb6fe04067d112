"""What the caller hears in a long gap: the sound that the agent's file names, once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from agent.conversation.record import MoveKind
from agent.errors import AgentSpecError
from agent.live.move import FILLER_AFTER_S
from agent.spec import AgentSpec, load_agent
from tests.fakes.sample_call import wav_of
from tests.scenarios.rig import ANSWER, GREETING, QUESTION, agent_turns, evercall
from tests.tone import amplitude_at, tone
from workers.twin import phone_audio
from workers.twin.caller import HangUp, Say, WaitAgentDone
from workers.twin.live_api import script
from workers.twin.live_api.faults import Close, DelaySetup, Fault, HangBeforeSetup
from workers.twin.live_api.script import LiveScript, TextRule, Turn
from workers.twin.twilio_api.result import CallResult

REST = "And much more."
HZ, SOUND_MS = 1_000, 400
AGENT = """\
name: bakery
system_instruction: You are a baker.
language: en-US
greeting: {{text: "{greeting}"}}
vad: {{silence_duration_ms: 300}}
limits: {{answer_timeout_s: 5, connect_timeout_s: 5}}
moves:
  filler: {filler}
"""
MODEL = LiveScript(
    opening=(script.Say(GREETING),),
    turns=(Turn(QUESTION, (script.Say("We have rye bread, white bread and rolls."),)),),
    texts=(TextRule("were cut off", (script.Say(REST),)),),
    otherwise=(script.Say(ANSWER),),
    answer_delay_s=0.1,
)
# In the middle of an answer, of which no more than this is heard.
CUT_MS = 400
LOSS = Close(sessions=frozenset({1}), answer=2, audio_ms=CUT_MS)


def agent(folder: Path) -> AgentSpec:
    """An agent's file with its filler beside it, at a rate that is not the phone's."""
    sound = tone(HZ, SOUND_MS, rate_hz=16_000, amplitude=6_000)
    (folder / "hold.wav").write_bytes(wav_of(sound, channels=1, rate_hz=16_000))
    file = folder / "agent.yaml"
    file.write_text(AGENT.format(greeting=GREETING, filler="hold.wav"))
    return load_agent(file)


@pytest.mark.parametrize(
    ("faults", "times"),
    [
        # Each of them is the length of the gap, and a little more.
        ([DelaySetup(sessions=frozenset({2}), seconds=0.5)], 0),
        ([DelaySetup(sessions=frozenset({2}), seconds=3.2)], 1),
        # A dial is given up after 4 s; the next one is in the same gap.
        ([HangBeforeSetup(sessions=frozenset({2}))], 1),
    ],
    ids=["short", "long", "two_tries"],
)
async def test_filler_is_heard_once_in_a_long_gap_and_never_in_a_short_one(
    tmp_path: Path, faults: Iterable[Fault], times: int
) -> None:
    """After 1.5 s without a word, whole and as loud as it is; then the agent goes on."""
    async with evercall(tmp_path, MODEL, agent=agent(tmp_path), faults=[LOSS, *faults]) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(5_000), HangUp()
        )
        assert len(rig.logged("live.filler")) == times
    heard = sounds(result)
    assert len(heard) == times
    (move,) = record.moves
    assert move.kind is not None
    assert record.counters.get("fillers", 0) == times
    assert agent_turns(record)[-1].heard == REST
    for start_s, end_s in heard:
        assert abs((end_s - start_s) * 1_000 - SOUND_MS) <= 60
        silent_since_s = max(end for _, end in played_s(result) if end < start_s)
        assert abs(start_s - silent_since_s - FILLER_AFTER_S) < 0.4
    assert (move.gap_ms > FILLER_AFTER_S * 1_000) is bool(times)


async def test_filler_is_no_turn_of_the_agent(tmp_path: Path) -> None:
    """The model is not told that it said so, and the transcript does not hold it."""
    faults = [LOSS, DelaySetup(sessions=frozenset({2}), seconds=2.5)]
    async with evercall(tmp_path, MODEL, agent=agent(tmp_path), faults=faults) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(5_000), HangUp()
        )
    assert len(sounds(result)) == 1
    assert record.moves[0].kind is MoveKind.RESUME
    greeting, cut, rest = agent_turns(record)
    assert (greeting.heard, rest.heard) == (GREETING, REST)
    assert cut.heard_ms <= CUT_MS + 200
    assert sum(turn.heard_ms for turn in (greeting, cut, rest)) < sum(
        (end - start) * 1_000 for start, end in played_s(result)
    ) - (SOUND_MS - 100)


async def test_worker_does_not_start_with_a_filler_that_cannot_be_used(tmp_path: Path) -> None:
    """File, line and field are named, and nothing listens: a gap is no time to find it missing."""
    spec = agent(tmp_path)
    (tmp_path / "hold.wav").unlink()
    with pytest.raises(AgentSpecError) as caught:
        async with evercall(tmp_path, MODEL, agent=spec):
            pytest.fail("the worker has started")
    line = AGENT.splitlines().index("  filler: {filler}") + 1
    assert str(caught.value).startswith(f"{tmp_path / 'agent.yaml'}:{line}: moves.filler: ")
    assert "hold.wav" in str(caught.value)


def played_s(result: CallResult) -> list[tuple[float, float]]:
    return [(start / 1_000, end / 1_000) for start, end in result.played_ms]


def sounds(result: CallResult) -> list[tuple[float, float]]:
    """Where the filler is heard, in seconds: stretches of its tone and of nothing else."""
    pcm = phone_audio.to_pcm(result.heard)
    size = phone_audio.RATE_HZ // 50
    found: list[tuple[float, float]] = []
    for at in range(0, len(pcm) // 2 - size, size):
        window = pcm[2 * at : 2 * (at + size)]
        power = float(np.mean(np.frombuffer(window, "<i2").astype(float) ** 2))
        if power < 1_000**2:
            continue
        if amplitude_at(window, HZ, rate_hz=phone_audio.RATE_HZ) ** 2 / 2 < 0.8 * power:
            continue
        start = at / phone_audio.RATE_HZ
        if found and start - found[-1][1] < 0.05:
            found[-1] = (found[-1][0], start + 0.02)
        else:
            found.append((start, start + 0.02))
    # A vowel may be that pure for a moment.
    return [(start, end) for start, end in found if end - start >= 0.1]
