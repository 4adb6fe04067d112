"""Faults of the model that last, without sockets; time is a number here."""

from __future__ import annotations

import audioop
import base64
from itertools import pairwise

import pytest

from tests.workers.twin.live_api.table import V25, V31, V38, VERTEX, Table
from workers.twin import speech
from workers.twin.live_api.messages import FunctionAnswer, TextIn, ToolResponseIn
from workers.twin.live_api.quirks import Quirks
from workers.twin.live_api.script import LiveScript, Say, Turn

_MODELS = (V25, V31, V38, VERTEX)


def audio(table: Table) -> bytes:
    """Return the audio of every frame."""
    parts = [part for _, turn in table.content("modelTurn") for part in turn["parts"]]
    return b"".join(
        base64.b64decode(part["inlineData"]["data"]) for part in parts if "inlineData" in part
    )


def after(table: Table, field: str) -> list[str]:
    fields = table.fields()
    return fields[fields.index(field) + 1 :]


def test_no_handles_means_no_update_at_all() -> None:
    """Neither a handle nor word that there is none for now."""
    table = Table(model=V31, quirks=Quirks(hands_out_handles=False))
    table.send(TextIn("The caller pressed 7."))
    table.run(1)
    table.answer(table.calls()[0], output="ready")
    table.run(20)
    assert "turnComplete" in table.fields()
    assert "sessionResumptionUpdate" not in table.fields()
    assert table.log.handles == []


def test_a_poisoned_session_transcribes_and_never_answers() -> None:
    """Neither speech nor text gets audio, a call or the end of a turn."""
    table = Table(quirks=Quirks(mute=True))
    for _ in range(2):
        table.line("caller_hours")
        table.run(20)
    table.send(TextIn("The caller pressed 7."))
    table.run(20)
    transcript = table.heard_text("inputTranscription")
    assert speech.line("caller_hours").text in transcript
    assert set(table.fields()) == {"inputTranscription", "sessionResumptionUpdate"}
    assert table.log.handles == []


def test_an_amnesiac_greets_whoever_speaks_first_and_begins_anew() -> None:
    """The opening once, whatever was asked; then the script from its beginning."""
    table = Table(quirks=Quirks(greets_again=True))
    table.line("caller_bye")
    table.run(20)
    table.line("caller_bye")
    table.run(20)
    assert table.heard_text("outputTranscription") == (
        f" {speech.line('agent_greeting').text} {speech.line('agent_hours').text}"
    )


def test_an_interruption_may_never_be_followed_by_turn_complete() -> None:
    """Nor by a handle; the next turn is answered all the same (bolna)."""
    table = Table(quirks=Quirks(turn_complete_after_interrupted=False))
    table.send(TextIn("hello"))
    table.run(1)
    table.line("caller_hours")
    assert after(table, "interrupted")[:1] != ["turnComplete"]
    assert table.content("turnComplete") == []
    table.run(20)
    assert len(table.content("turnComplete")) == 1


def test_turn_complete_may_come_before_interrupted() -> None:
    """Once each, and the handle is there before the caller's turn goes on (livekit)."""
    table = Table(quirks=Quirks(interrupted_last=True))
    table.send(TextIn("hello"))
    table.run(1)
    table.hear(speech.line("caller_barge").at_rate(16_000).pcm[:16_000])
    fields = table.fields()
    assert fields.count("interrupted") == fields.count("turnComplete") == 1
    assert fields.index("turnComplete") < fields.index("interrupted")
    assert len(table.log.handles) == 1
    assert table.events == ["turn", "interruption"]


@pytest.mark.parametrize("model", _MODELS)
def test_a_silent_answer_has_everything_but_audio(model: str) -> None:
    """Only the answer that was named; its transcript is whole."""
    table = Table(model=model, quirks=Quirks(silent_answers=frozenset({1})))
    table.send(TextIn("hello"))
    table.run(10)
    assert audio(table) == b""
    assert table.heard_text("outputTranscription").strip() == speech.line("agent_greeting").text
    assert len(table.content("generationComplete")) == len(table.content("turnComplete")) == 1
    assert table.log.memory[-1] == ("model", speech.line("agent_greeting").text)
    table.line("caller_hours", silence_s=1.7)
    table.run(20)
    assert audio(table) == speech.line("agent_hours").pcm


def test_a_silent_answer_without_transcript_ends_too() -> None:
    """Where nothing at all is sent for a step, the next one follows."""
    table = Table(
        script=LiveScript(opening=(Say("One."), Say("Two."))),
        quirks=Quirks(silent_answers=frozenset({1})),
        transcribes=False,
    )
    table.send(TextIn("hello"))
    table.run(10)
    assert table.content("outputTranscription") == []
    assert len(table.content("turnComplete")) == 1


@pytest.mark.parametrize("model", _MODELS)
def test_near_zero_audio_is_as_long_as_the_answer_and_not_to_be_heard(model: str) -> None:
    """RMS below 8 in every frame."""
    table = Table(model=model, quirks=Quirks(near_zero_answers=frozenset({1})))
    table.send(TextIn("hello"))
    table.run(10)
    pcm = audio(table)
    assert len(pcm) == len(speech.line("agent_greeting").pcm)
    assert 0 < max(audioop.rms(pcm[at : at + 960], 2) for at in range(0, len(pcm), 960)) < 8
    table.line("caller_hours", silence_s=1.7)
    table.run(20)
    assert audioop.rms(audio(table)[len(pcm) :], 2) > 300


def test_after_a_barge_in_only_text_brings_the_model_back() -> None:
    """The caller is transcribed and not answered, until the nudge."""
    table = Table(quirks=Quirks(mute_after_barge_in="until_text"))
    table.send(TextIn("hello"))
    table.run(1)
    table.line("caller_hours")
    table.run(20)
    table.line("caller_bye")
    table.run(20)
    assert len(table.log.said) == 1
    assert speech.line("caller_hours").text in table.heard_text("inputTranscription")
    table.send(TextIn("Please answer the caller."))
    table.run(20)
    assert len(table.log.said) == 2
    table.line("caller_bye")
    table.run(1)
    assert len(table.log.said) == 3


def test_after_a_barge_in_nothing_may_bring_the_model_back() -> None:
    """For ever means that text does not help either."""
    table = Table(quirks=Quirks(mute_after_barge_in="for_ever"))
    table.send(TextIn("hello"))
    table.run(1)
    table.line("caller_hours")
    table.send(TextIn("Please answer the caller."))
    table.run(20)
    assert len(table.log.said) == 1


def test_every_answer_may_be_later_than_the_one_before() -> None:
    """From the answer named on; a resumed session goes on as slowly, a fresh one does not."""
    script = LiveScript(
        turns=tuple(Turn(f"Question {n}.", (Say(f"Answer {n}."),)) for n in range(6))
    )
    quirks = Quirks(slow_from=2, slow_add_s=0.5)
    old = Table(script=script, quirks=quirks)

    def delays(table: Table, count: int) -> list[float]:
        for _ in range(count):
            table.line("caller_bye")
            table.run(20)
        heard, said = table.log.heard, table.log.said
        return [answer.started_at - turn.at for turn, answer in zip(heard, said, strict=True)]

    slower = delays(old, 3)
    assert [b - a for a, b in pairwise(slower)] == pytest.approx([0.5, 0.5])
    resumed = Table(script=script, quirks=quirks, snapshot=old.snapshots[-1])
    assert delays(resumed, 1) == pytest.approx([slower[-1] + 0.5])
    well = Table(script=script, snapshot=old.snapshots[-1])
    assert delays(well, 2) == pytest.approx([slower[-1]] * 2)
    fresh = Table(script=script, quirks=quirks)
    assert delays(fresh, 1) == pytest.approx(slower[:1])


# -- faults that happen once -----------------------------------------------------------------------


def test_a_phantom_interrupt_stops_the_answer() -> None:
    """As a barge-in does, with nobody heard."""
    table = Table(script=LiveScript(opening=(Say("agent_hours"),), speed=1.0))
    table.send(TextIn("hello"))
    table.run(2.0)
    table.engine.phantom_interrupt(table.now)
    table.take()
    table.run(20)
    assert after(table, "interrupted") == [
        "turnComplete",
        "interactionStatus",
        "sessionResumptionUpdate",
    ]
    assert table.log.heard == []
    assert table.content("generationComplete") == []


def test_a_phantom_interrupt_between_turns_is_one_frame() -> None:
    """There is nothing to complete."""
    table = Table()
    table.engine.phantom_interrupt(0.0)
    table.take()
    table.run(1)
    assert table.fields() == ["interrupted"]


def test_residual_audio_is_what_an_interrupted_answer_had_left() -> None:
    """The audio that would have come next, as long as was asked for."""
    table = Table(script=LiveScript(opening=(Say("agent_hours"),), speed=1.0))
    table.send(TextIn("hello"))
    table.run(2.0)
    table.line("caller_barge", silence_s=0)
    before = audio(table)
    table.engine.residual_audio(40)
    table.take()
    assert audio(table) == speech.line("agent_hours").pcm[: len(before) + 40 * 48]


def test_residual_audio_of_a_complete_answer_repeats_its_end() -> None:
    """Seconds of nothing, then one frame more; before the first answer there is none."""
    table = Table()
    table.engine.residual_audio(60)
    assert table.engine.take() == []
    table.send(TextIn("hello"))
    table.run(10)
    before = audio(table)
    table.engine.residual_audio(20)
    table.take()
    assert audio(table) == before + before[-960:]


# -- what faults may wait for ----------------------------------------------------------------------


def test_events_come_with_what_they_follow() -> None:
    """A call, the end of a turn with its handle, the end of speech before any answer."""
    table = Table(model=V31)
    table.send(TextIn("The caller pressed 7."))
    table.run(1)
    assert table.events == ["tool_call"]
    call = table.calls()[0]
    table.send(ToolResponseIn((FunctionAnswer(call["id"], call["name"], {"output": "ready"}),)))
    table.run(20)
    assert table.events == ["tool_call", "turn"]
    table.line("caller_hours", silence_s=1.5)
    assert table.events == ["tool_call", "turn", "speech_end"]


def test_the_end_of_a_turn_is_told_with_its_handle() -> None:
    """A fault right after a turn leaves the client with the handle."""
    table = Table()
    table.send(TextIn("hello"))
    while "turn" not in table.events:
        table.run(0.02)
    assert table.fields()[-1] == "sessionResumptionUpdate"
    assert len(table.log.handles) == 1


def test_the_callers_turn_is_measured_while_it_lasts() -> None:
    """From the first voiced frame on, counted from 1; 0 while nobody speaks."""
    table = Table()
    assert (table.engine.utterances, table.engine.spoken_ms) == (0, 0)
    table.coded(0, frames=50, quiet=0)
    assert (table.engine.utterances, table.engine.spoken_ms) == (1, 1000)
    table.hear(bytes(32_000))
    assert (table.engine.utterances, table.engine.spoken_ms) == (1, 0)


def test_one_seed_is_one_session_and_another_is_not() -> None:
    """Every frame, its time and its content; seeds differ in how the audio is cut."""
    said = []
    for seed in (3, 3, 4):
        table = Table(seed=seed)
        table.send(TextIn("hello"))
        table.run(2)
        table.line("caller_bye")
        table.run(20)
        said.append(table.said)
    assert said[0] == said[1] != said[2]
