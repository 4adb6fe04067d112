"""What a handle restores, and what it does not; time is a number here."""

from __future__ import annotations

import pytest

from tests.workers.twin.live_api.table import V31, VERTEX, Table
from workers.twin import speech
from workers.twin.live_api.memory import BLANK, Line, Memory, Snapshot
from workers.twin.live_api.messages import ContentIn, FunctionAnswer, TextIn
from workers.twin.live_api.script import CallTool, LiveScript, Say, Turn
from workers.twin.live_api.usage import Meter, Tokens


def text_of(name: str) -> str:
    return speech.line(name).text


def resumed(table: Table) -> Table:
    """Go on from the newest handle of ``table`` on another connection."""
    return Table(snapshot=table.snapshots[-1])


def test_a_snapshot_does_not_change_afterwards() -> None:
    """What is remembered later is not in the snapshot, and restoring copies it."""
    memory = Memory([], Meter(vertex=False))
    memory.written("user", "hello")
    memory.said("  ")
    before = memory.snapshot()
    memory.heard("Is it open?", memory.meter.caller_audio(1000))
    assert before.lines == (Line("user", "hello", Tokens(text=1.25)),)
    assert before.tokens == Tokens(text=1.25)
    again = Memory([], Meter(vertex=False), memory.snapshot())
    again.written("user", "bye")
    assert [line.text for line in again.lines] == ["hello", "Is it open?", "bye"]
    assert again.meter.context_tokens == 34
    assert memory.meter.context_tokens == 33


def test_the_memory_holds_the_lines_of_both_sides() -> None:
    """Text, speech and answers in their order, as they were said."""
    table = Table()
    table.send(TextIn("Greet the caller."))
    table.run(10)
    table.line("caller_hours")
    table.run(20)
    assert table.log.memory == [
        ("user", "Greet the caller."),
        ("model", text_of("agent_greeting")),
        ("user", text_of("caller_hours")),
        ("model", text_of("agent_hours")),
    ]


def test_a_resumed_session_goes_on_where_the_handle_was_issued() -> None:
    """Lines, tokens and the script's position are restored; nothing is said until it is asked."""
    old = Table()
    old.send(TextIn("hello"))
    old.run(10)
    old.line("caller_hours")
    old.run(20)
    new = resumed(old)
    new.run(5)
    assert new.said == []
    assert new.log.memory == old.log.memory
    new.line("caller_barge")
    new.run(20)
    assert new.heard_text("outputTranscription").strip() == text_of("agent_order")
    assert new.log.usage[0]["promptTokenCount"] > old.log.usage[-1]["promptTokenCount"]


def test_a_resumed_session_does_not_greet_again() -> None:
    """Which greeting was said is part of the snapshot."""
    old = Table()
    old.send(TextIn("hello"))
    old.run(10)
    new = resumed(old)
    new.send(TextIn("hello"))
    new.run(10)
    assert text_of("agent_greeting") not in new.heard_text("outputTranscription")


def test_what_came_after_the_handle_is_gone() -> None:
    """An utterance that the model had not answered is neither remembered nor counted as played."""
    old = Table()
    old.send(TextIn("hello"))
    old.run(10)
    old.line("caller_hours")
    assert len(old.snapshots) == 1
    new = resumed(old)
    new.run(5)
    assert new.log.memory == [("user", "hello"), ("model", text_of("agent_greeting"))]
    new.line("caller_hours")
    new.run(20)
    assert new.log.heard[0].text == text_of("caller_hours")


def test_a_turn_that_waits_for_the_end_of_playback_is_not_in_the_handle() -> None:
    """With ``NO_INTERRUPTION`` the handle after an answer leaves out what was said during it."""
    old = Table(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    old.send(TextIn("hello"))
    old.run(0.5)
    old.line("caller_hours")
    while not old.snapshots:
        old.run(0.02)
    assert old.log.heard[0].text == text_of("caller_hours")
    assert old.snapshots[0].lines[-1].text == text_of("agent_greeting")
    assert old.snapshots[0].position == 0


def test_every_setup_brings_its_own_system_instruction() -> None:
    """It is not part of the snapshot: its tokens do not pile up from one resume to the next."""
    old = Table(systemInstruction={"parts": [{"text": "x" * 4000}]})
    old.send(TextIn("hello"))
    old.run(10)
    assert old.log.usage[0]["promptTokenCount"] > 1000
    assert old.snapshots[0].tokens.text < 10
    bare = resumed(old)
    bare.send(TextIn("hello"))
    bare.run(10)
    assert bare.log.usage[0]["promptTokenCount"] < 1000


def test_of_an_interrupted_answer_only_what_was_heard_is_remembered() -> None:
    """The playback clock cuts it, not the production."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(2.0)
    assert "generationComplete" in table.fields()
    table.line("caller_barge")
    line = table.snapshots[0].lines[-1]
    assert line.role == "model"
    assert 0 < len(line.text) < len(text_of("agent_greeting"))
    assert text_of("agent_greeting").startswith(line.text)


def test_what_interrupts_an_answer_comes_after_it() -> None:
    """Text stands behind the words it cut off, and is not in the handle that they end with."""
    table = Table()
    table.send(TextIn("hello"))
    table.run(2)
    table.send(TextIn("Stop, please."))
    assert [role for role, _ in table.log.memory] == ["user", "model", "user"]
    assert [line.role for line in table.snapshots[-1].lines] == ["user", "model"]
    table.run(10)
    table.send(ContentIn((("user", "Go on."),), True))
    table.run(1)
    table.send(ContentIn((("user", "Stop again."),), True))
    assert [text for role, text in table.log.memory if role == "user"][-1] == "Stop again."
    assert table.log.memory[-2][0] == "model"


def test_results_of_functions_are_remembered_and_their_calls_are_not() -> None:
    """After a tool response there is a handle; resumed from it the old ids are unknown."""
    old = Table(model=V31)
    old.send(TextIn("The caller pressed 7."))
    old.run(1)
    (call,) = old.calls()
    old.answer(call, output="ready")
    assert [(line.role, line.text) for line in old.snapshots[-1].lines] == [
        ("user", "The caller pressed 7."),
        ("tool", 'order_status {"output": "ready"}'),
    ]
    new = Table(model=V31, snapshot=old.snapshots[-1])
    new.answer(call, output="ready")
    new.run(20)
    assert [stray["id"] for stray in new.log.stray_tool_responses] == [call["id"]]
    # The answer that was being generated is gone: silence until new input.
    assert new.said == []


def test_what_was_said_before_a_call_comes_before_its_result() -> None:
    """One line before the result, one after it."""
    script = LiveScript(opening=(Say("One moment."), CallTool("end_call"), Say("Done.")))
    table = Table(model=V31, script=script)
    table.send(TextIn("hello"))
    table.run(3)
    table.answer(table.calls()[0], output="ok")
    table.run(5)
    assert [role for role, _ in table.log.memory] == ["user", "model", "tool", "model"]
    assert [text for role, text in table.log.memory if role == "model"] == ["One moment.", "Done."]


def test_seeded_history_is_remembered_with_its_roles() -> None:
    """``clientContent`` is history, answered or not."""
    table = Table(model=VERTEX)
    table.send(ContentIn((("user", "hello"), ("model", "Good morning.")), False))
    assert table.log.memory == [("user", "hello"), ("model", "Good morning.")]


def test_a_position_beyond_the_script_is_answered_as_ever() -> None:
    """A resumed session whose script has ended says that it did not understand."""
    table = Table(snapshot=Snapshot(position=9, greeted=True))
    table.line("caller_bye")
    table.run(5)
    assert "again" in table.heard_text("outputTranscription")


def test_an_empty_result_is_remembered_too() -> None:
    """The model knows that the function ran."""
    memory = Memory([], Meter(vertex=False), BLANK)
    memory.tool_result(FunctionAnswer("1", "end_call", {}))
    assert [(line.role, line.text) for line in memory.lines] == [("tool", "end_call {}")]


@pytest.mark.parametrize("codes", [True, False])
def test_the_next_turn_of_a_resumed_session_is_the_scripts_next(codes: bool) -> None:
    """With and without position codes."""
    script = LiveScript(turns=tuple(Turn(f"Question {n}.", (Say(f"Answer {n}."),)) for n in "123"))
    old = Table(script=script)
    if codes:
        old.coded(0)
    else:
        old.line("caller_hours")
    old.run(20)
    new = Table(script=script, snapshot=old.snapshots[-1])
    new.line("caller_bye")
    new.run(20)
    assert new.heard_text("outputTranscription") == " Answer 2."
