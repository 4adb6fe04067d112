"""What is said in a call: greeting, turns, barge-in, keys, tools."""

from __future__ import annotations

from pathlib import Path

from agent.conversation.record import EndReason
from agent.spec import Greeting
from tests.scenarios.rig import (
    ANSWER,
    GREETING,
    QUESTION,
    SPEECH,
    agent_turns,
    bakery,
    caller_turns,
    evercall,
    lost_ms,
    played_ms,
    silent_agent,
    spoken_ms,
    step_s,
    until,
)
from workers.twin import speech
from workers.twin.caller import (
    HangUp,
    Press,
    Say,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.faults import DelaySetup
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn


async def test_caller_is_greeted(tmp_path: Path) -> None:
    """The caller hears the whole greeting, and the record says so."""
    async with evercall(tmp_path) as rig:
        result, record = await rig.call(WaitAgentDone(), HangUp())
    assert result.status == "completed"
    assert not result.warnings
    (turn,) = record.turns
    assert turn.speaker == "agent"
    assert turn.said == turn.heard == GREETING
    assert abs(turn.heard_ms - spoken_ms(GREETING)) <= 60
    assert abs(played_ms(result, 0) - spoken_ms(GREETING)) <= 60
    assert not turn.interrupted
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    assert len(record.streams) == 1
    assert record.usage.total_tokens > 0
    assert record.model == "gemini-3.8-live"
    assert len(rig.live.sessions) == 1


async def test_three_turns_are_answered_in_order(tmp_path: Path) -> None:
    """Each question gets its own answer, heard whole, and the record tells it in order."""
    answers = ("At ten.", "Rye bread.", "Two each.")
    questions = ("When then?", "Which bread?", "How much?")
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=tuple(
            Turn(question, (script.Say(answer),))
            for question, answer in zip(questions, answers, strict=True)
        ),
        answer_delay_s=0.1,
    )
    steps = [step for question in questions for step in (Say(question), WaitAgentDone(500))]
    async with evercall(tmp_path, model) as rig:
        result, record = await rig.call(WaitAgentDone(500), *steps, HangUp())
    assert result.script_finished
    expected = [("agent", GREETING)]
    for question, answer in zip(questions, answers, strict=True):
        expected += [("caller", question), ("agent", answer)]
    assert [(turn.speaker, turn.heard) for turn in record.turns] == expected
    assert record.barge_ins == []
    assert lost_ms(record) == 0
    total_ms = spoken_ms(GREETING) + sum(spoken_ms(answer) for answer in answers)
    assert abs(played_ms(result, 0) - total_ms) <= 100
    (session,) = rig.live.sessions
    assert len(session.heard) == 3
    for turn in agent_turns(record)[1:]:
        # 0.1 s to think, and 0.3 s until the model is sure that the caller has finished.
        assert turn.answer_delay_s is not None
        assert 0.2 < turn.answer_delay_s < 1.5


async def test_barge_in_silences_the_phone_and_cuts_the_record_where_the_marks_say(
    tmp_path: Path,
) -> None:
    """What was played by the phone is what the record calls heard; nothing old comes after it."""
    long = (
        "We open at seven on Monday, at eight on Tuesday, at nine on Wednesday, and at ten on "
        "every other day of the week, but not on Sunday."
    )
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn(QUESTION, (script.Say(long),)), Turn("Stop, please.", (script.Say(ANSWER),))),
        answer_delay_s=0.3,
    )
    ask, interrupt = Say(QUESTION), Say("Stop, thank you very much.")
    async with evercall(tmp_path, model) as rig:
        call = await rig.ring(
            WaitAgentDone(500), ask, WaitAgentSpoke(1_700), interrupt, WaitAgentDone(500), HangUp()
        )
        result = await call.wait(30)
        record = await rig.record(call.sid)
    began_s = call.line.journal.start_s
    clear_s = result.named("clear")[0].at_s
    truly_heard_ms = played_ms(result, step_s(result, ask), clear_s)
    greeting, cut, answer = agent_turns(record)
    assert greeting.heard == GREETING
    assert cut.interrupted
    assert truly_heard_ms - 150 <= cut.heard_ms <= truly_heard_ms + 30
    # The twin knows when each word was over; one may have been in the caller's ear.
    words = speech.line(long).words
    over = [word.text for word in words if word.end_ms <= truly_heard_ms]
    assert cut.heard == long[: len(cut.heard)]
    assert abs(len(cut.heard.split()) - len(over)) <= 1
    assert cut.said != cut.heard
    (barge_in,) = record.barge_ins
    assert barge_in.cut_ms > 500
    # Silence between the clear and the first word of the new answer, then that answer alone.
    (session,) = rig.live.sessions
    answer_s = session.said[-1].started_at - began_s
    assert answer_s > clear_s
    assert played_ms(result, clear_s, answer_s) == 0
    assert abs(played_ms(result, clear_s) - spoken_ms(ANSWER)) <= 60
    assert answer.heard == ANSWER
    generations = [str(mark.data["name"]).partition(":")[0] for mark in result.named("mark.set")]
    assert generations == sorted(generations)
    assert set(generations) == {"g0", "g1"}
    # Very little is queued at Twilio, so that very little is cleared.
    assert result.named("clear")[0].data["queued_ms"] <= 200  # type: ignore[operator]


async def test_keys_reach_the_model_and_its_tool_is_answered_once(tmp_path: Path) -> None:
    """Keys pressed in a row are told as one text; the tool runs once and is answered once."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        texts=(
            TextRule(
                r"pressed (\d+)",
                (CallTool("order_status", {"order_number": "{1}"}), script.Say("It is ready.")),
            ),
        ),
        answer_delay_s=0.1,
    )
    spec = bakery(tools=("workers.twin.demo_tools:order_status",))
    async with evercall(tmp_path, model, agent=spec) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Press("12"), WaitAgentDone(500), HangUp()
        )
    (session,) = rig.live.sessions
    assert len([text for text in session.texts if "12" in text]) == 1
    assert len(session.tool_calls) == len(session.tool_responses) == 1
    assert not session.stray_tool_responses
    assert "in the oven" in str(session.tool_responses[0]["response"])
    (tool,) = record.tools
    assert (tool.name, tool.args, tool.outcome) == (
        "order_status",
        {"order_number": "12"},
        "ok",
    )
    assert [digit.digit for digit in record.digits] == ["1", "2"]
    assert not any(digit.sent for digit in record.digits)
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, "It is ready."]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms("It is ready.")) <= 80
    # Keys may be card numbers.
    assert '"12"' not in rig.log_text


async def test_failing_tool_is_told_as_an_error_and_the_call_goes_on(tmp_path: Path) -> None:
    """The model gets an error instead of a result, once, and the caller is answered."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(
            Turn(
                QUESTION,
                (
                    CallTool(
                        "order_status", {"order_number": "99"}, on_error=(script.Say("No order."),)
                    ),
                    script.Say("It is ready."),
                ),
            ),
        ),
        answer_delay_s=0.1,
    )
    spec = bakery(tools=("workers.twin.demo_tools:order_status",))
    async with evercall(tmp_path, model, agent=spec) as rig:
        _, record = await rig.call(WaitAgentDone(300), Say(QUESTION), WaitAgentDone(500), HangUp())
    (session,) = rig.live.sessions
    (answer,) = session.tool_responses
    assert "error" in answer["response"]
    assert [tool.outcome for tool in record.tools] == ["error"]
    assert agent_turns(record)[-1].heard == "No order."


async def test_model_sends_digits_to_the_phone(tmp_path: Path) -> None:
    """The tones are heard in the phone's audio, in order, and noted as sent."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn(QUESTION, (CallTool("send_digits", {"digits": "4,2#"}), script.Say(ANSWER))),),
        answer_delay_s=0.1,
    )
    async with evercall(tmp_path, model, agent=bakery(tools=("send_digits",))) as rig:
        result, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(900), HangUp()
        )
    assert result.digits_heard == "42#"
    assert [digit.digit for digit in record.digits if digit.sent] == ["4", "2", "#"]
    assert agent_turns(record)[-1].heard == ANSWER


async def test_opting_out_is_kept(tmp_path: Path) -> None:
    """The wish never to be called again is in the record and in the store's journal."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn("Never call me.", (CallTool("opt_out"), script.Say("Noted."))),),
        answer_delay_s=0.1,
    )
    async with evercall(tmp_path, model, agent=bakery(tools=("opt_out",))) as rig:
        _, record = await rig.call(
            WaitAgentDone(300), Say("Never call me."), WaitAgentDone(500), HangUp()
        )
        assert await rig.events(record.call_sid, "opt_out")
    assert record.opted_out


async def test_kept_greeting_plays_before_the_model_is_there(tmp_path: Path) -> None:
    """The second caller hears the first one's greeting at once, and the model knows of it."""
    spec = bakery(greeting=Greeting(GREETING, cached=True))
    slow = LiveScript(otherwise=(script.Say(ANSWER),), answer_delay_s=0.1)
    async with evercall(tmp_path, SPEECH, agent=spec) as rig:
        first, _ = await rig.call(WaitAgentDone(500), HangUp())
        await until(lambda: list((tmp_path / "greetings").glob("*.ulaw")))
    assert rig.live.sessions[0].texts
    async with evercall(tmp_path, slow, agent=spec, faults=[DelaySetup(seconds=1.5)]) as rig:
        call = await rig.ring(WaitAgentDone(500), Say(QUESTION), WaitAgentDone(500), HangUp())
        result = await call.wait(30)
        record = await rig.record(call.sid)
    (session,) = rig.live.sessions
    assert session.ready_at is not None
    started_s = result.named("stream-started")[0].at_s
    heard_s = result.played_ms[0][0] / 1000
    assert heard_s - started_s < 0.5
    assert call.line.journal.start_s + heard_s < session.ready_at
    assert not any(GREETING in text for text in session.texts)
    assert GREETING in session.system_instruction
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
    assert len(caller_turns(record)) == 1
    # The same sound as the first caller heard.
    size = int(spoken_ms(GREETING) - 100) * 8
    sounds = [sound.heard[int(sound.played_ms[0][0] * 8) :][:size] for sound in (first, result)]
    assert sounds[0] == sounds[1]


async def test_kept_greeting_can_be_interrupted(tmp_path: Path) -> None:
    """The server does not know that it plays; what it answers ends it, and has its own words."""
    long = "Good day and welcome to the best and oldest bakery in town."
    spec = bakery(greeting=Greeting(long, cached=True))
    say_it = LiveScript(opening=(script.Say(long),), answer_delay_s=0.1)
    async with evercall(tmp_path, say_it, agent=spec) as rig:
        await rig.call(WaitAgentDone(500), HangUp())
        await until(lambda: list((tmp_path / "greetings").glob("*.ulaw")))
    answer = LiveScript(otherwise=(script.Say(ANSWER),), answer_delay_s=0.1)
    ask = Say(QUESTION)
    async with evercall(tmp_path, answer, agent=spec) as rig:
        result, record = await rig.call(WaitAgentSpoke(500), ask, WaitAgentDone(500), HangUp())
    clear_s = result.named("clear")[0].at_s
    greeting, last = agent_turns(record)
    assert greeting.interrupted
    assert long.startswith(greeting.heard)
    assert len(greeting.heard) < len(long)
    heard_ms = played_ms(result, 0, clear_s)
    assert heard_ms - 150 <= greeting.heard_ms <= heard_ms + 30
    assert last.heard == ANSWER
    assert abs(played_ms(result, clear_s) - spoken_ms(ANSWER)) <= 60
    assert len(record.barge_ins) == 1


async def test_caller_who_speaks_before_the_model_is_there_is_heard(tmp_path: Path) -> None:
    """Speech is held while the connection comes up and answered when it is."""
    model = LiveScript(otherwise=(script.Say(ANSWER),), answer_delay_s=0.1)
    async with evercall(
        tmp_path, model, agent=silent_agent(), faults=[DelaySetup(seconds=2.5)]
    ) as rig:
        _, record = await rig.call(WaitStream(), Say(QUESTION), WaitAgentDone(500), HangUp())
    (session,) = rig.live.sessions
    assert len(session.heard) == 1
    # From the first word's first sound to the last one's last, whatever the ears leave off.
    spoken = speech.line(QUESTION).words[-1].end_ms
    heard = session.heard[0].ended_ms - session.heard[0].started_ms
    assert abs(heard - spoken) <= 120
    assert lost_ms(record) == 0
    assert agent_turns(record)[-1].heard == ANSWER
