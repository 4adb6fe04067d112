"""What the next connection is told: everything it would not know, and nothing twice."""

from __future__ import annotations

from agent.audio import PcmChunk
from agent.conversation.prompt import Opening, open_call
from agent.conversation.record import ToolRecord, TurnRecord
from agent.conversation.transcript import Transcript
from agent.live.recall import Brief, Recall
from agent.spec import AgentSpec, Greeting
from tests.fakes.playout import FakePlayout

SPEC = AgentSpec("bakery", "Be kind.", greeting=Greeting("Hello, the bakery."))
CUT = " — (cut off here)"


class Call:
    """A session's records, with a clock moved by hand."""

    def __init__(self, opening: Opening | None = None) -> None:
        self.now_s = 0.0
        self.playout = FakePlayout()
        self.transcript = Transcript(self.playout, lambda: self.now_s, origin_s=0.0)
        self.tools: list[ToolRecord] = []
        self.opening = opening or Opening("Be kind.", instruction="Be kind.")
        self.recall = Recall(self.opening, self.transcript, self.tools, lambda: self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.playout.play(seconds * 1000)

    def caller(self, text: str) -> None:
        self.transcript.caller_text(text)
        self.wait(3.0)

    def agent(self, text: str, *, closed: bool = True) -> None:
        self.transcript.agent_text(text)
        self.transcript.agent_audio(800)
        self.playout.offer(800)
        if closed:
            self.transcript.generation_completed()
            self.transcript.turn_completed()
        self.wait(3.0)

    def turn(self, number: int, *, handle: bool = False) -> None:
        self.caller(f"Question {number}?")
        self.agent(f"Answer {number}.")
        if handle:
            self.recall.handle_came()
            self.wait(0.1)

    def tool(self, call_id: str, *, took_s: float | None = 1.0) -> ToolRecord:
        """A function; None lets it run."""
        record = ToolRecord(call_id, "look", {"id": call_id}, self.now_s, self.now_s, "ok")
        self.tools.append(record)
        if took_s is not None:
            self.wait(took_s)
            record.ended_s, record.response = self.now_s, {"output": call_id}
        return record

    def resume(self, **options: object) -> list[str]:
        return self.moved(self.recall.brief(resumed=True, **options))  # type: ignore[arg-type]  # as brief

    def refill(self, **options: object) -> list[str]:
        return self.moved(self.recall.brief(resumed=False, **options))  # type: ignore[arg-type]  # as brief

    def moved(self, brief: Brief) -> list[str]:
        """Take the brief, and return the lines it tells of the call."""
        self.transcript.connection_left(said_again=False)
        self.recall.opened(brief)
        lines = brief.instruction.splitlines()
        told = [line for line in lines if line.startswith(("Caller: ", "You: ", "You called "))]
        assert len(told) == len(set(told)), "told twice"
        return told


def test_before_anything_has_happened_the_opening_says_it_all() -> None:
    """A connection lost at once is replaced by one that is opened the same way."""
    call = Call(open_call(SPEC, variables={}))
    brief = call.recall.brief(resumed=False)
    assert brief.instruction == call.opening.system_instruction


def test_fresh_session_is_told_everything() -> None:
    """Whatever handles came before: it has none of it."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    assert call.refill() == [
        "Caller: Question 1?",
        "You: Answer 1.",
        "Caller: Question 2?",
        "You: Answer 2.",
    ]


def test_resumed_session_is_told_what_came_after_its_handle() -> None:
    """The handle brings back the rest."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    assert call.resume() == ["Caller: Question 2?", "You: Answer 2."]


def test_resumed_session_with_a_fresh_handle_is_told_nothing() -> None:
    """It remembers; it only must not greet again."""
    call = Call()
    call.turn(1, handle=True)
    brief = call.recall.brief(resumed=True)
    assert "may not remember" not in brief.instruction
    assert "Do not greet again" in brief.instruction
    assert call.resume() == []


def test_what_was_told_once_is_told_again_at_later_resumes() -> None:
    """It stood in an instruction, which no handle brings back."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    second = ["Caller: Question 2?", "You: Answer 2."]
    assert call.resume() == second
    call.turn(3, handle=True)
    assert call.resume() == second
    call.turn(4)
    assert call.resume() == [*second, "Caller: Question 4?", "You: Answer 4."]
    call.turn(5, handle=True)
    call.turn(6)
    assert call.resume() == [
        *second,
        "Caller: Question 4?",
        "You: Answer 4.",
        "Caller: Question 6?",
        "You: Answer 6.",
    ]


def test_resume_of_a_refilled_session_is_told_what_the_refill_was_told() -> None:
    """The fresh session learnt it from its instruction."""
    call = Call()
    call.turn(1)
    first = ["Caller: Question 1?", "You: Answer 1."]
    assert call.refill() == first
    call.turn(2, handle=True)
    assert call.resume() == first


def test_refill_after_a_resume_tells_everything_once() -> None:
    """In its order, whatever was told to whom before."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    call.resume()
    call.turn(3)
    told = call.refill()
    assert [line[-2] for line in told] == ["1", "1", "2", "2", "3", "3"]


def test_brief_that_led_to_no_connection_changes_nothing() -> None:
    """Only what a connection came up with was told."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    call.recall.brief(resumed=False)
    call.recall.brief(resumed=True)
    assert call.resume() == ["Caller: Question 2?", "You: Answer 2."]


def test_answer_cut_off_is_told_as_far_as_it_came() -> None:
    """The model is to go on from there; who was not speaking was not cut off."""
    call = Call()
    call.caller("Question 1?")
    call.agent("Answer 1.", closed=False)
    told = call.resume(cut_off=True)
    assert told[-1].endswith(CUT)
    call.turn(2)
    call.caller("Question 3?")
    assert not any(line.endswith(CUT) for line in call.refill(cut_off=True))


def test_function_that_is_done_is_told_with_its_result() -> None:
    """A handle from before its end does not know the result, one from after it does."""
    call = Call()
    call.turn(1, handle=True)
    call.tool("a")
    result = 'You called look({"id": "a"}). Its result: {"output": "a"}'
    assert call.resume() == [result]
    call.turn(2, handle=True)
    call.tool("b")
    assert call.resume() == [result, result.replace('"a"', '"b"')]


def test_function_that_ended_before_the_handle_is_known() -> None:
    """Its call and its result are in the session."""
    call = Call()
    call.tool("a")
    call.turn(1, handle=True)
    assert call.resume() == []
    assert call.refill()[0].startswith("You called look")


def test_function_that_ended_after_the_handle_is_told_though_it_began_before() -> None:
    """The session knows the call and waits for ever."""
    call = Call()
    record = call.tool("a", took_s=None)
    call.turn(1, handle=True)
    record.ended_s, record.response = call.now_s, {"output": "a"}
    assert any("Its result" in line for line in call.resume())


def test_function_that_still_runs_is_told_as_running() -> None:
    """So that it is not called again; also where the handle is newer than the call."""
    call = Call()
    call.tool("a", took_s=None)
    call.turn(1, handle=True)
    (told,) = call.resume(orphans=frozenset({"a"}))
    assert told.endswith("It runs; you will be told its result. Do not call it again.")


def test_cancelled_function_is_told_as_cancelled() -> None:
    """It has no result."""
    call = Call()
    call.tool("a").outcome = "cancelled"
    assert call.refill() == ['You called look({"id": "a"}) and cancelled it.']


def test_functions_and_turns_come_in_their_order() -> None:
    """By when they began."""
    call = Call()
    call.turn(1)
    call.tool("a")
    call.turn(2)
    told = call.refill()
    assert [line.split()[1] for line in told] == [
        "Question",
        "Answer",
        "called",
        "Question",
        "Answer",
    ]


def test_kept_greeting_is_told_to_every_connection() -> None:
    """The first knew of it by its instruction alone, so no handle brings it back."""
    call = Call(open_call(SPEC, variables={}, greeting_audio=PcmChunk(bytes(1_600), 8_000)))
    call.transcript.agent_text("Hello, the bakery.", finished=True)
    call.transcript.agent_audio(100)
    call.transcript.generation_completed()
    call.playout.offer(100)
    call.transcript.turn_completed()
    call.wait(3.0)
    call.turn(1, handle=True)
    greeting = "You: Hello, the bakery."
    assert call.resume() == [greeting]
    call.turn(2, handle=True)
    assert call.resume() == [greeting]
    told = call.refill()
    assert told[0] == greeting
    assert len(told) == 5


def test_history_from_before_the_session_is_told_to_every_connection() -> None:
    """Even where the first one was lost before anything was said."""
    history = [TurnRecord("caller", "I am Ada.", "I am Ada.", 0.0, 1.0)]
    call = Call(open_call(SPEC, variables={}, history=history))
    before = "Caller: I am Ada."
    assert before in call.resume()
    call.turn(1, handle=True)
    assert call.resume() == [before]
    call.turn(2)
    assert call.resume() == [before, "Caller: Question 2?", "You: Answer 2."]
    assert call.refill()[:3] == [before, "Caller: Question 1?", "You: Answer 1."]
