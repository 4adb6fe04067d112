"""What the model knows, wherever it was told; time is a number here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.twin.live_api.table import V25, V38, VERTEX, Table
from workers.twin import speech
from workers.twin.live_api.messages import (
    ContentIn,
    ContextUpdateIn,
    FunctionAnswer,
    RefusedError,
    TextIn,
    ToolResponseIn,
)
from workers.twin.live_api.recollection import recall, rest
from workers.twin.live_api.script import CallTool, GoOn, LiveScript, Recall, Say, TextRule, Turn

_NAME = Recall(r"(?i)(ada|bob) (brook\w*)", "Your name is {1} {2}.", "I do not know.")
_SCRIPT = LiveScript(
    turns=(
        Turn("Good morning, I am Ada Brook.", (Say("How can I help you?"),)),
        Turn("What is my name?", (_NAME,)),
        Turn("And what is it now?", (Say("Let me see."), _NAME)),
    ),
    texts=(
        TextRule("Who is it", (_NAME,)),
        TextRule("look up", (CallTool("order_status"), _NAME)),
    ),
    otherwise=(Say("I see. Please go on, I have all the time in the world for you."),),
)
_UNKNOWN = "I do not know."
_KNOWN = "Your name is Ada Brook."


def asked(table: Table) -> str:
    """Ask for the name, and return the answer."""
    before = len(table.log.said)
    table.send(TextIn("Who is it?"))
    table.run(10)
    return table.log.said[before].text.strip()


def instructed(text: str, **options: Any) -> Table:
    return Table(script=_SCRIPT, systemInstruction={"parts": [{"text": text}]}, **options)


# -- where a fact may be ------------------------------------------------------------------------


def test_a_model_that_was_told_nothing_knows_nothing() -> None:
    """Neither the question nor the script itself gives the answer away."""
    assert asked(Table(script=_SCRIPT)) == _UNKNOWN


def test_a_fact_in_the_instruction_is_known() -> None:
    """Over line breaks and all, as it is written there."""
    assert asked(instructed("Be kind.\nCaller:\tAda Brook, a regular.")) == _KNOWN


def test_a_fact_that_was_spoken_is_known() -> None:
    """What the caller said is searched, and what the model said."""
    table = Table(script=_SCRIPT)
    table.coded(0)
    table.run(10)
    table.coded(500)
    table.run(10)
    assert table.log.said[1].text.strip() == _KNOWN
    echo = Table(script=LiveScript(opening=(Say("Hello Bob Brooks."),), texts=_SCRIPT.texts))
    echo.send(TextIn("Greet."))
    echo.run(10)
    assert asked(echo) == "Your name is Bob Brooks."


@pytest.mark.parametrize("role", ["user", "model"])
def test_a_fact_in_history_is_known(role: str) -> None:
    """Initial history, or plain content that asks for nothing."""
    turns = ((role, "It is Ada Brook."), ("user", "Go on."))
    plain = Table(script=_SCRIPT)
    plain.send(ContentIn(turns, False))
    assert asked(plain) == _KNOWN
    seeded = Table(script=_SCRIPT, historyConfig={"initialHistoryInClientContent": True})
    seeded.send(ContentIn(turns, True))
    assert asked(seeded) == _KNOWN
    assert seeded.log.memory[:2] == [(role, "It is Ada Brook."), ("user", "Go on.")]


def test_a_fact_in_content_of_the_role_system_is_known() -> None:
    """On Vertex, where such content is taken."""
    table = Table(model=VERTEX, script=_SCRIPT)
    table.send(ContentIn((("system", "The caller is Ada Brook."),), False))
    assert asked(table) == _KNOWN


def test_a_fact_in_a_result_is_known() -> None:
    """In the answer that waited for it."""
    table = Table(script=_SCRIPT)
    table.send(TextIn("Please look up the caller."))
    table.run(5)
    (call,) = table.calls()
    answer = FunctionAnswer(call["id"], call["name"], {"output": {"name": "Ada Brook"}})
    table.send(ToolResponseIn((answer,)))
    table.run(10)
    assert table.log.said[-1].text.strip() == _KNOWN


def test_the_newest_of_two_facts_counts() -> None:
    """What was told last, whether the instruction came before or after."""
    table = instructed("The caller is Ada Brook.")
    table.send(ContentIn((("user", "Sorry, I am Bob Brooks."), ("model", "I see.")), False))
    assert asked(table) == "Your name is Bob Brooks."
    resumed = instructed("By now the caller is Ada Brook.", snapshot=table.snapshots[-1])
    assert asked(resumed) == _KNOWN


def test_the_log_says_what_was_known() -> None:
    """One note for each question."""
    table = Table(script=_SCRIPT)
    asked(table)
    table.send(ContentIn((("user", "I am Ada Brook."),), False))
    asked(table)
    assert [len(table.log.noted(kind)) for kind in ("not_recalled", "recalled")] == [1, 1]
    assert table.log.noted("recalled")[0].detail == _NAME.known


def test_groups_are_filled_and_a_group_that_matched_nothing_is_empty() -> None:
    """``{0}`` is the whole match; the other answer is said as it is."""
    step = Recall(r"number (\d+)(-\d+)?", "{0}: {1}{2}.", "{1}?")
    assert recall(step, ["It is number 48213."]) == ("number 48213: 48213.", True)
    assert recall(step, ["number 1", "number 2-7"]) == ("number 2-7: 2-7.", True)
    assert recall(step, ["number", "48213"]) == ("{1}?", False)
    assert recall(step, []) == ("{1}?", False)


# -- what was cut is gone -----------------------------------------------------------------------


def cut_after_name(**options: Any) -> Table:
    """Tell the name, and talk until it is cut."""
    table = Table(
        script=_SCRIPT,
        contextWindowCompression={"triggerTokens": 300, "slidingWindow": {"targetTokens": 100}},
        window_tokens=1000,
        **options,
    )
    table.coded(0)
    table.run(10)
    assert asked(table) == _KNOWN
    while len(table.log.cuts) < 2:
        table.send(TextIn("There is more to tell."))
        table.run(10)
    return table


def test_what_was_cut_is_not_known_any_more() -> None:
    """Nor after a resume; told again, it is."""
    table = cut_after_name()
    assert not any("Brook" in text for text in table.engine._memory.held)
    assert asked(table) == _UNKNOWN
    assert asked(Table(script=_SCRIPT, snapshot=table.snapshots[-1])) == _UNKNOWN
    told = instructed("The caller is Ada Brook.", snapshot=table.snapshots[-1])
    assert asked(told) == _KNOWN
    table.send(ContentIn((("user", "By the way, I am Ada Brook."),), False))
    assert asked(table) == _KNOWN


def test_a_cut_leaves_the_order_of_what_was_told() -> None:
    """Where restored lines are cut, what came after the instruction is still newer than it."""
    old = Table(script=_SCRIPT)
    for _ in range(6):
        old.send(TextIn("There is more to tell."))
        old.run(10)
    compression = {"triggerTokens": 400, "slidingWindow": {"targetTokens": 300}}
    new = instructed(
        "The caller is Ada Brook.",
        snapshot=old.snapshots[-1],
        contextWindowCompression=compression,
    )
    new.send(ContentIn((("user", "I am Bob Brooks."), ("model", "I see.")), False))
    new.send(TextIn("There is more to tell."))
    new.run(10)
    assert len(new.log.cuts) == 1
    assert new.engine._memory.held.index("The caller is Ada Brook.") > 0
    assert asked(new) == "Your name is Bob Brooks."


def test_the_instruction_is_known_through_every_cut() -> None:
    """That is what it is for."""
    table = cut_after_name(systemInstruction={"parts": [{"text": "The caller is Ada Brook."}]})
    assert asked(table) == _KNOWN


def test_a_handle_of_before_the_cut_knows_what_was_cut() -> None:
    """It is the session as it was then."""
    table = cut_after_name()
    assert asked(Table(script=_SCRIPT, snapshot=table.snapshots[0])) == _KNOWN


# -- a new instruction --------------------------------------------------------------------------


def test_a_context_update_replaces_the_instruction() -> None:
    """Its words, its size, and what the log says; the conversation stays."""
    table = instructed("The caller is Ada Brook. " * 20)
    before = table.log.context_tokens
    table.send(ContentIn((("user", "I am here."),), False))
    table.send(ContextUpdateIn("The caller is Bob Brooks."))
    assert table.log.context_tokens == before - 125 + 6 + 3
    assert table.log.system_instruction == "The caller is Bob Brooks."
    assert table.log.context_updates == ["The caller is Bob Brooks."]
    assert [note.detail for note in table.log.noted("context_update")] == ["25 characters"]
    assert asked(table) == "Your name is Bob Brooks."
    assert table.log.memory[0] == ("user", "I am here.")


def test_an_update_of_tools_alone_leaves_the_instruction() -> None:
    """What is not named is not replaced; an empty text empties it."""
    table = instructed("The caller is Ada Brook.")
    table.send(ContextUpdateIn(None))
    assert asked(table) == _KNOWN
    assert table.log.context_updates == []
    table.send(ContextUpdateIn(""))
    assert table.log.system_instruction == ""
    table.log.lines.clear()
    assert asked(table) == _UNKNOWN


@pytest.mark.parametrize("model", [V25, VERTEX])
def test_a_context_update_is_for_3_8_alone(model: str) -> None:
    """Refused, and nothing has changed."""
    table = instructed("The caller is Ada Brook.", model=model)
    with pytest.raises(RefusedError) as refused:
        table.send(ContextUpdateIn("The caller is Bob Brooks."))
    assert refused.value.code == 1007
    assert table.log.context_updates == []
    assert table.engine._memory.held == ["The caller is Ada Brook."]
    instructed("Be kind.", model=V38).send(ContextUpdateIn("Be brief."))


# -- history tells how far the conversation was ---------------------------------------------------


def test_a_session_that_is_seeded_with_turns_takes_the_next_one() -> None:
    """As one that the instruction tells of them."""
    history = (("user", "Good morning, I am Ada Brook."), ("model", "How can I help you?"))
    for complete in (True, False):
        first: dict[str, Any] = {"historyConfig": {"initialHistoryInClientContent": complete}}
        table = Table(script=_SCRIPT, **first)
        table.send(ContentIn(history, complete))
        table.coded(0)
        table.run(10)
        assert [turn.text for turn in table.log.heard] == ["What is my name?"]
        assert table.log.said[0].text.strip() == _KNOWN


def test_a_summary_and_the_last_turns_are_enough() -> None:
    """Turns that are told as a summary were played too, if a later one is known by its words."""
    table = Table(script=_SCRIPT)
    table.send(
        ContentIn((("user", "So far: Ada Brook called."), ("user", "What is my name?")), False)
    )
    table.coded(0)
    assert table.log.heard[0].text == "And what is it now?"


def test_few_words_or_words_said_twice_tell_nothing_of_later_turns() -> None:
    """Anyone may have said them about anything."""
    script = LiveScript(
        turns=tuple(
            Turn(heard, (Say("Yes."),))
            for heard in ("How are you?", "Tell me more of it.", "Thanks.", "Tell me more of it.")
        )
    )
    told = {"parts": [{"text": "You: Thanks. Tell me more of it."}]}
    table = Table(script=script, systemInstruction=told)
    table.coded(0)
    assert table.log.heard[0].text == "How are you?"


def test_a_question_in_text_is_no_history() -> None:
    """It is asked here and now, and what the caller says first is still the script's first turn."""
    table = Table(script=_SCRIPT)
    table.send(ContentIn((("user", "Good morning, I am Ada Brook."),), True))
    table.run(10)
    table.coded(0)
    assert table.log.heard[0].text == "Good morning, I am Ada Brook."


def test_context_in_the_middle_of_a_call_moves_no_script() -> None:
    """What it tells was heard on this connection, and is counted there."""
    table = Table(script=_SCRIPT)
    table.line("caller_bye")
    table.run(10)
    table.send(ContentIn((("user", "They asked: What is my name?"),), False))
    table.line("caller_bye")
    assert table.log.heard[1].text == "What is my name?"


def test_a_model_that_has_spoken_in_its_history_does_not_greet() -> None:
    """It would say the same again."""
    table = Table(script=LiveScript(opening=(Say("Welcome."),), otherwise=(Say("Yes."),)))
    table.send(ContentIn((("user", "hello"), ("model", "Welcome.")), False))
    table.send(TextIn("Are you there?"))
    table.run(5)
    assert table.heard_text("outputTranscription").strip() == "Yes."


# -- going on -----------------------------------------------------------------------------------


def test_a_model_goes_on_after_what_its_history_tells() -> None:
    """Seeded by content, it knows where it was cut off."""
    order = speech.line("agent_order").text
    begun = " ".join(order.split()[:4])
    script = LiveScript(texts=(TextRule("cut off", (GoOn(("agent_order",)),)),))
    table = Table(script=script)
    table.send(ContentIn((("user", "My order?"), ("model", begun)), False))
    table.send(TextIn("You were cut off."))
    table.run(20)
    spoken = table.heard_text("outputTranscription").strip()
    assert spoken == order.removeprefix(begun).strip()


def test_a_line_is_known_by_more_than_its_first_word() -> None:
    """A word that stands later somewhere else does not make it the line told last."""
    long, other = speech.line("One two three four five."), speech.line("Six seven eight nine.")
    assert rest([long, other], ["One two three", "Six o'clock"]).text == "four five."
    assert rest([long, other], ["One two three", "Six seven eight"]).text == "nine."
    assert rest([long, other], ["Six"]).text == "seven eight nine."
    assert rest([long, other], ["nothing of it"]).text == long.text


def test_a_newer_instruction_tells_more_than_what_a_handle_restores() -> None:
    """The line that it tells of was begun last, whatever was said in the turns before."""
    order, ready = speech.line("agent_order").text, speech.line("agent_ready").text
    script = LiveScript(
        opening=(Say("agent_ready"),),
        texts=(TextRule("cut off", (GoOn(("agent_order", "agent_ready")),)),),
    )
    old = Table(script=script)
    old.send(TextIn("hello"))
    old.run(20)
    assert old.log.memory[-1] == ("model", ready)
    begun = " ".join(order.split()[:4])
    new = Table(
        script=script,
        snapshot=old.snapshots[-1],
        systemInstruction={"parts": [{"text": f"You: {begun} — (cut off here)"}]},
    )
    new.send(TextIn("You were cut off."))
    new.run(20)
    spoken = new.heard_text("outputTranscription").strip()
    assert spoken == order.removeprefix(begun).strip()
