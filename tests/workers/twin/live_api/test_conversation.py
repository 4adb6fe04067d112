"""Turns of the simulated model; time is a number here."""

from __future__ import annotations

import pytest

from tests.workers.twin.live_api.table import HALF_CASCADE, V25, V31, V38, VERTEX, Table
from workers.twin import speech
from workers.twin.live_api.messages import (
    ActivityEndIn,
    ActivityStartIn,
    AudioIn,
    AudioStreamEndIn,
    ContentIn,
    ContextUpdateIn,
    FunctionAnswer,
    LegacyMediaIn,
    RefusedError,
    TextIn,
    ToolResponseIn,
)
from workers.twin.live_api.script import (
    CallTool,
    GoOn,
    LiveScript,
    Say,
    Silence,
    TextRule,
    Turn,
    Wait,
)


def audio_ms(table: Table) -> float:
    return sum(said.audio_ms for said in table.log.said)


# -- turns -------------------------------------------------------------------------------------


def test_text_is_answered_by_the_opening_faster_than_it_is_spoken() -> None:
    """Audio is produced at speed; ``turnComplete`` waits until it would have been played."""
    table = Table()
    table.send(TextIn("Greet the caller."))
    table.run(10)
    greeting = speech.line("agent_greeting")
    ((generated, _),) = table.content("generationComplete")
    ((completed, _),) = table.content("turnComplete")
    (first, _), *_ = table.content("modelTurn")
    assert first == pytest.approx(0.3)
    assert generated < 0.3 + greeting.duration_ms / 1000 / 6
    assert completed == pytest.approx(0.3 + greeting.duration_ms / 1000, abs=0.01)
    assert audio_ms(table) == pytest.approx(greeting.duration_ms)
    assert table.heard_text("outputTranscription").strip() == greeting.text


def test_a_spoken_turn_is_transcribed_and_answered() -> None:
    """The caller's turn takes the script's next turn, with its transcript first."""
    table = Table()
    table.line("caller_hours")
    table.run(1)
    assert table.heard_text("inputTranscription") == speech.line("caller_hours").text
    assert table.log.heard[0].text == speech.line("caller_hours").text
    assert table.fields()[:4] == [
        "sessionResumptionUpdate",
        "inputTranscription",
        "interactionStatus",
        "modelTurn",
    ]


def test_text_without_a_script_says_what_the_text_quotes() -> None:
    """A greeting asked for word by word is spoken word by word."""
    table = Table(script=LiveScript())
    table.send(TextIn('Say exactly: "Good morning, Anna."'))
    table.run(5)
    assert table.heard_text("outputTranscription") == " Good morning, Anna."


def test_a_pause_in_the_callers_turn_puts_the_answer_off() -> None:
    """Speech before the first frame takes the reply back; the same turn is answered later."""
    table = Table()
    table.line("caller_hours", silence_s=0.6)
    table.line("caller_bye", silence_s=0.7)
    table.run(0.3)
    assert "interrupted" not in table.fields()
    assert table.heard_text("inputTranscription") == speech.line("caller_hours").text


def test_a_turn_beyond_the_script_is_answered_too() -> None:
    """The model never falls silent because a script has ended."""
    table = Table(script=LiveScript())
    table.line("caller_bye")
    table.run(5)
    assert "again" in table.heard_text("outputTranscription")


def test_silence_closes_nothing_and_no_steps_close_without_audio() -> None:
    """A turn may never get an answer, or an empty one."""
    script = LiveScript(opening=(), turns=(Turn("caller_bye", (Silence(),)),))
    table = Table(script=script)
    table.send(TextIn("hello"))
    table.run(1)
    assert table.fields()[-3:] == ["turnComplete", "interactionStatus", "sessionResumptionUpdate"]
    assert table.content("modelTurn") == []
    table.said.clear()
    table.line("caller_bye")
    table.run(60)
    assert table.fields() == ["sessionResumptionUpdate", "inputTranscription"]


def test_waiting_leaves_a_gap_that_the_playback_clock_knows() -> None:
    """Audio after a gap longer than what was left to play is played when it comes."""
    table = Table(script=LiveScript(opening=(Say("agent_bye"), Wait(10), Say("agent_bye"))))
    table.send(TextIn("hello"))
    table.run(30)
    bye_s = speech.line("agent_bye").duration_ms / 1000
    ((completed, _),) = table.content("turnComplete")
    assert 0.3 + 10 + bye_s < completed < 0.3 + 10 + 2 * bye_s


# -- interruption ------------------------------------------------------------------------------


def test_speech_during_playback_interrupts_although_production_is_over() -> None:
    """The playback clock decides: ``interrupted`` comes after ``generationComplete``."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(2.0)
    assert table.fields()[-1] == "generationComplete"
    table.hear(speech.line("caller_barge").at_rate(16_000).pcm[:16_000])
    after = table.fields()[table.fields().index("generationComplete") + 1 :]
    assert after == ["interrupted", "turnComplete", "interactionStatus", "sessionResumptionUpdate"]


def test_speech_during_production_stops_it_at_once() -> None:
    """Nothing more of the answer comes, and no ``generationComplete``."""
    table = Table(script=LiveScript(opening=(Say("agent_hours"),), speed=1.0))
    table.send(TextIn("hello"))
    table.run(2.0)
    table.line("caller_bye")
    ((at, _),) = table.content("interrupted")
    assert all(when <= at for when, _ in table.content("modelTurn"))
    assert table.content("generationComplete") == []
    assert table.log.said[0].interrupted_at == at
    assert audio_ms(table) < 3000


def test_speech_after_playback_interrupts_nothing() -> None:
    """Once ``turnComplete`` is out there is nothing to interrupt."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(10)
    table.line("caller_hours")
    assert "interrupted" not in table.fields()


def test_no_interruption_answers_after_the_answer() -> None:
    """With ``NO_INTERRUPTION`` the caller's turn waits for the end of playback."""
    table = Table(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    table.send(TextIn("hello"))
    table.run(0.5)
    table.line("caller_bye")
    table.run(20)
    assert "interrupted" not in table.fields()
    first, second = table.log.said[:2]
    assert first.completed_at is not None
    assert second.started_at >= first.completed_at


def test_text_interrupts_as_speech_does() -> None:
    """``realtimeInput.text`` is user activity."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(1)
    table.send(TextIn("The caller pressed 7."))
    assert "interrupted" in table.fields()


# -- functions ---------------------------------------------------------------------------------


def test_a_non_blocking_call_closes_its_turn_and_is_answered_in_another() -> None:
    """On 3.8 ``turnComplete`` follows the call; ``IDLE`` comes with the spoken answer alone."""
    table = Table()
    table.send(TextIn("The caller pressed 7."))
    table.run(5)
    (call,) = table.calls()
    assert (call["name"], call["args"]) == ("order_status", {"order_number": "7"})
    assert [status for _, status in table.content("interactionStatus")] == ["IN_PROGRESS"]
    assert len(table.content("turnComplete")) == 1
    assert table.log.handles == []
    table.answer(call, output="ready")
    table.run(20)
    assert table.heard_text("outputTranscription").strip() == speech.line("agent_ready").text
    assert [s for _, s in table.content("interactionStatus")][-1] == "IDLE"


def test_a_blocking_call_keeps_the_model_silent_until_it_is_answered() -> None:
    """On 3.1 the turn stays open: one ``turnComplete``, after the answer."""
    table = Table(model=V31)
    table.send(TextIn("The caller pressed 7."))
    table.run(5)
    assert table.content("turnComplete") == []
    table.answer(table.calls()[0], output="ready")
    table.run(20)
    assert len(table.content("turnComplete")) == 1
    assert table.heard_text("outputTranscription").strip() == speech.line("agent_ready").text


def test_vertex_closes_the_turn_of_a_call_before_the_answer() -> None:
    """``turnComplete`` is not "answer finished" there (recorded)."""
    table = Table(model=VERTEX)
    table.send(TextIn("The caller pressed 7."))
    table.run(1)
    assert len(table.content("turnComplete")) == 1
    table.answer(table.calls()[0], output="ready")
    table.run(20)
    assert len(table.content("turnComplete")) == 2


@pytest.mark.parametrize("model", [V25, V31])
def test_an_interruption_cancels_the_calls_of_the_turn(model: str) -> None:
    """A cancelled call is not waited for; its late answer is stray."""
    table = Table(model=model)
    table.send(TextIn("The caller pressed 7."))
    table.run(1)
    table.line("caller_hours", silence_s=1.7)
    (call,) = table.calls()
    cancelled = [m["toolCallCancellation"] for _, m in table.said if "toolCallCancellation" in m]
    assert cancelled == [{"ids": [call["id"]]}]
    assert table.fields().index("interrupted") < table.fields().index("toolCallCancellation")
    table.answer(call, output="late")
    assert [stray["id"] for stray in table.log.stray_tool_responses] == [call["id"]]
    table.run(1)
    assert "On Saturday" in table.heard_text("outputTranscription")


def test_a_non_blocking_call_of_a_closed_turn_survives_the_callers_next_words() -> None:
    """Its result is spoken when the model is idle again."""
    table = Table()
    table.send(TextIn("The caller pressed 7."))
    table.run(1)
    table.line("caller_bye")
    assert table.log.cancelled_calls == []
    table.answer(table.calls()[0], output="ready")
    table.run(40)
    assert speech.line("agent_ready").text in table.heard_text("outputTranscription")


def test_scheduling_decides_when_a_result_is_spoken() -> None:
    """``SILENT`` is never spoken, ``INTERRUPT`` cuts in, ``WHEN_IDLE`` waits."""
    for scheduling, spoken in [("SILENT", False), ("INTERRUPT", True), ("WHEN_IDLE", True)]:
        table = Table()
        table.send(TextIn("The caller pressed 7."))
        table.run(1)
        table.line("caller_hours")
        table.run(1)
        table.answer(table.calls()[0], scheduling, output="ready")
        table.run(40)
        text = table.heard_text("outputTranscription")
        assert (speech.line("agent_ready").text in text) == spoken
        assert ("interrupted" in table.fields()) == (scheduling == "INTERRUPT")


def test_an_error_takes_the_other_branch() -> None:
    """A result with the key ``error`` goes on with ``on_error``."""
    step = CallTool("order_status", on_error=(Say("That did not work."),))
    table = Table(script=LiveScript(opening=(step, Say("agent_ready"))))
    table.send(TextIn("hello"))
    table.run(1)
    table.answer(table.calls()[0], error="no such order")
    table.run(10)
    assert table.heard_text("outputTranscription") == " That did not work."


def test_an_answer_needs_its_id_on_the_developer_api() -> None:
    """google-genai refuses to send one without; the server closes with 1007."""
    table = Table()
    with pytest.raises(RefusedError):
        table.send(ToolResponseIn((FunctionAnswer("", "f", {}),)))


# -- profiles ----------------------------------------------------------------------------------


def test_2_5_splits_fields_and_words_and_thinks_aloud() -> None:
    """Each frame has one field, input comes word by word, a thought comes before speech."""
    table = Table(model=V25)
    table.line("caller_bye")
    table.run(20)
    assert all(len(m.get("serverContent", {"": 0})) == 1 for _, m in table.said)
    words = [part["text"] for _, part in table.content("inputTranscription")]
    assert words[:3] == [" Hi", " there", "."]
    (_, thought), *_ = table.content("modelTurn")
    assert thought["parts"][0]["thought"] is True
    assert table.said[-2][1]["usageMetadata"]["promptTokenCount"] > 0


def test_3_1_bundles_fields_and_opens_with_an_empty_frame() -> None:
    """Transcript and audio share frames; each audio frame has usage with a prompt count of 0."""
    table = Table(model=V31)
    table.send(TextIn("hello"))
    table.run(5)
    assert {} in [message.get("serverContent") for _, message in table.said]
    contents = [message.get("serverContent", {}) for _, message in table.said]
    assert any({"modelTurn", "outputTranscription"} <= content.keys() for content in contents)
    usage = [m["usageMetadata"] for _, m in table.said if "modelTurn" in m.get("serverContent", {})]
    assert {one["promptTokenCount"] for one in usage} == {0}
    assert table.heard_text("inputTranscription") == "hello"


def test_vertex_half_cascade_sends_all_text_before_all_audio() -> None:
    """Text stands between an empty and a finished marker; usage names candidates."""
    table = Table(model=HALF_CASCADE)
    table.send(TextIn("hello"))
    table.run(10)
    transcript = table.content("outputTranscription")
    assert transcript[0][1] == {}
    assert transcript[-1][1] == {"finished": True}
    fields = table.fields()
    assert fields.index("outputTranscription") < fields.index("modelTurn")
    (_, turn), *_ = table.content("modelTurn")
    assert turn["role"] == "model"
    assert turn["parts"][0]["inlineData"]["mimeType"] == "audio/pcm"
    assert table.log.usage[0]["candidatesTokenCount"] > 0


def test_the_end_of_the_audio_stream_ends_the_turn_except_on_3_8() -> None:
    """3.8 needs trailing audio (openclaw#152830)."""
    for model, answered in [(V25, True), (V31, True), (V38, False)]:
        table = Table(model=model)
        table.line("caller_bye", silence_s=0.0)
        table.send(AudioStreamEndIn())
        table.run(1)
        assert (table.content("modelTurn") != []) == answered


def test_3_1_refuses_client_content_once_it_has_spoken() -> None:
    """Others take it all session long."""
    for model in (V25, V31, V38):
        table = Table(model=model)
        table.send(ContentIn((("user", "hello"),), True))
        table.run(10)
        assert table.log.said[0].completed_at is not None
        if model == V31:
            with pytest.raises(RefusedError):
                table.send(ContentIn((("user", "hello"),), True))
        else:
            table.send(ContentIn((("user", "hello"),), True))


def test_legacy_media_and_context_updates_depend_on_the_model() -> None:
    """``mediaChunks`` is for 2.5, ``contextUpdate`` for 3.8."""
    legacy = LegacyMediaIn((AudioIn(bytes(640), 16_000),))
    Table(model=V25).send(legacy)
    Table(model=V38).send(ContextUpdateIn("You are closed."))
    with pytest.raises(RefusedError):
        Table(model=V38).send(legacy)
    with pytest.raises(RefusedError):
        Table(model=V31).send(ContextUpdateIn("You are closed."))


# -- history, manual mode, bookkeeping -----------------------------------------------------------


def test_history_seeds_and_is_not_answered() -> None:
    """With ``initialHistoryInClientContent`` the seed ends with ``turnComplete``, in silence."""
    table = Table(historyConfig={"initialHistoryInClientContent": True})
    table.send(ContentIn((("user", "hello"), ("model", "Good morning.")), True))
    table.run(5)
    assert table.said == []
    table.send(TextIn("go on"))
    table.run(1)
    assert table.content("modelTurn")


def test_context_without_an_end_of_turn_waits() -> None:
    """``turnComplete: false`` is context only; an empty completion asks for the answer."""
    table = Table()
    table.send(ContentIn((("user", "hello"),), False))
    table.run(5)
    assert table.said == []
    table.send(ContentIn((), True))
    table.run(1)
    assert table.content("modelTurn")


def test_a_system_role_is_refused_on_the_developer_api() -> None:
    """Vertex alone takes it."""
    with pytest.raises(RefusedError):
        Table().send(ContentIn((("system", "hello"),), False))
    Table(model=VERTEX).send(ContentIn((("system", "hello"),), False))


def test_manual_mode_hears_what_the_client_marks() -> None:
    """Speech alone starts nothing; ``activityEnd`` ends the turn; automatic mode refuses both."""
    manual = {"automaticActivityDetection": {"disabled": True}}
    table = Table(realtimeInputConfig=manual)
    table.line("caller_hours")
    assert table.said == []
    table.send(ActivityStartIn())
    table.line("caller_hours", silence_s=0.0)
    table.send(ActivityEndIn())
    table.run(1)
    assert table.content("modelTurn")
    with pytest.raises(RefusedError):
        table.send(AudioStreamEndIn())
    with pytest.raises(RefusedError):
        Table().send(ActivityStartIn())


def test_a_handle_is_issued_after_each_turn_and_none_during_one() -> None:
    """``resumable: false`` opens a generation, a new handle ends it."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(10)
    table.line("caller_hours")
    table.run(20)
    updates = [
        m["sessionResumptionUpdate"] for _, m in table.said if "sessionResumptionUpdate" in m
    ]
    assert updates == [
        {"resumable": False},
        {"newHandle": "handle-1", "resumable": True},
        {"resumable": False},
        {"newHandle": "handle-2", "resumable": True},
    ]


def test_transparent_resumption_says_what_was_consumed() -> None:
    """Client messages count from 1 (Vertex only)."""
    table = Table(model=VERTEX, sessionResumption={"transparent": True})
    table.send(TextIn("hello"))
    table.run(10)
    update = table.said[-1][1]["sessionResumptionUpdate"]
    assert update["lastConsumedClientMessageIndex"] == "1"


def test_the_context_grows_with_the_audio_of_both_sides() -> None:
    """25 to 32 tokens per second of audio, reported with ``turnComplete``."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(10)
    table.line("caller_hours")
    table.run(20)
    first, second = (usage["promptTokenCount"] for usage in table.log.usage)
    seconds = (
        speech.line("agent_greeting").duration_ms + speech.line("caller_hours").duration_ms
    ) / 1000
    assert 24 * seconds < second - first < 38 * seconds


def test_voice_activity_is_told_where_it_was_asked_for() -> None:
    """``explicitVadSignal`` on Vertex: starts and ends with their offsets."""
    table = Table(model="publishers/google/models/gemini-3.8-live", explicitVadSignal=True)
    table.line("caller_bye", silence_s=1.0)
    kinds = [m["voiceActivity"]["voiceActivityType"] for _, m in table.said if "voiceActivity" in m]
    assert kinds == ["ACTIVITY_START", "ACTIVITY_END"]


# -- what the instruction tells ----------------------------------------------------------------


def test_a_fresh_session_that_is_told_of_turns_takes_the_next_one() -> None:
    """A model reads its instruction: what was said before is not asked of it again."""
    told = f"So far:\nCaller: {speech.line('caller_hours').text}\nYou: From seven."
    table = Table(systemInstruction={"parts": [{"text": told}]})
    table.line("caller_barge")
    table.run(10)
    assert table.heard_text("outputTranscription").strip() == speech.line("agent_order").text


def test_a_model_goes_on_with_a_line_after_the_last_word_it_was_told() -> None:
    """Of several lines it is the one told last; one that was not told begins at its beginning."""
    order, ready = speech.line("agent_order").text, speech.line("agent_ready").text
    script = LiveScript(texts=(TextRule("cut off", (GoOn(("agent_order", "agent_ready")),)),))
    begun = " ".join(ready.split()[:4])
    for instruction, rest in (
        ("Be kind.", order),
        (f"You: {order}\nYou: {begun} — (cut off here)", ready.removeprefix(begun).strip()),
    ):
        table = Table(script=script, systemInstruction={"parts": [{"text": instruction}]})
        table.send(TextIn("You were cut off."))
        table.run(20)
        assert table.heard_text("outputTranscription").strip() == rest
