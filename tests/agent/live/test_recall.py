"""What the next connection is told: everything it would not know, and nothing twice."""

from __future__ import annotations

from dataclasses import replace

from agent.audio import PcmChunk
from agent.checkpoint import SessionCheckpoint
from agent.context.facts import Facts
from agent.context.notes import Notes
from agent.context.seed import SeedTurn
from agent.conversation.prompt import Opening, open_call
from agent.conversation.record import FactRecord, SummaryRecord, ToolRecord, TurnRecord
from agent.conversation.transcript import Transcript
from agent.live.models import SeedPath
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
        self.facts, self.notes = Facts(), Notes()
        self.summary: SummaryRecord | None = None
        self.recall = Recall(
            self.opening,
            self.transcript,
            self.tools,
            lambda: self.now_s,
            facts=self.facts,
            notes=self.notes,
            summary=lambda: (self.summary, int(self.summary is not None)),
        )

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


# -- what an hour leaves of a conversation ---------------------------------------------------------


def summary(*facts: str, turns: int) -> SummaryRecord:
    return SummaryRecord(caller="Ada Brook", facts=facts, turns=turns)


def test_turns_that_the_summary_covers_are_not_told_to_a_resumed_session() -> None:
    """The summary is, whatever the handle brings back: compression may have cut it there."""
    call = Call()
    call.turn(1, handle=True)
    call.turn(2)
    assert call.resume() == ["Caller: Question 2?", "You: Answer 2."]
    call.summary = summary("her order is 4417", turns=4)
    call.turn(3, handle=True)
    brief = call.recall.brief(resumed=True)
    assert "her order is 4417" in brief.instruction
    assert call.moved(brief) == []


def test_summary_and_facts_are_in_every_instruction_but_the_first() -> None:
    """Of a resumed session, of a fresh one, and of one that is told in the middle."""
    call = Call()
    call.turn(1, handle=True)
    call.summary = summary("her order is 4417", turns=0)
    call.facts.remember("name", "Ada", at_s=1.0)
    for brief in (
        call.recall.brief(resumed=True),
        call.recall.brief(resumed=False),
        call.recall.brief(resumed=False, path=SeedPath.INITIAL_HISTORY),
        call.recall.refreshed(),
    ):
        assert "her order is 4417" in brief.instruction
        assert "name: “Ada”" in brief.instruction
        assert "Do not greet again" in brief.instruction
    reminder = call.recall.reminder()
    assert "her order is 4417" in reminder
    assert "Be kind." not in reminder


def test_history_in_messages_is_not_told_again_at_a_resume() -> None:
    """The session holds it like anything that was said, and its handles bring it back."""
    call = Call()
    call.turn(1)
    brief = call.recall.brief(resumed=False, path=SeedPath.INITIAL_HISTORY)
    assert brief.turns == (SeedTurn("user", "Question 1?"), SeedTurn("model", "Answer 1."))
    assert call.moved(brief) == []
    call.turn(2, handle=True)
    assert call.resume() == []
    call.turn(3)
    assert call.resume() == ["Caller: Question 3?", "You: Answer 3."]


def test_running_function_is_told_in_the_instruction_whatever_the_way() -> None:
    """It is an order not to call it again, no part of what was said."""
    call = Call()
    call.turn(1)
    call.tool("a", took_s=None)
    brief = call.recall.brief(
        resumed=False, path=SeedPath.INITIAL_HISTORY, orphans=frozenset({"a"})
    )
    assert "It runs; you will be told its result." in brief.instruction
    assert not any("It runs" in turn.text for turn in brief.turns)


def test_words_cut_off_after_they_were_told_are_told_as_they_were_heard_the_next_time() -> None:
    """What was queued when a connection was dialled is not heard if the caller speaks over it."""
    call = Call()
    call.caller("Question 1?")
    call.transcript.agent_text("One two three four five six seven eight.")
    call.transcript.agent_audio(4_000)
    call.playout.offer(4_000)
    assert call.resume()[-1].startswith("You: One two three four five six seven eight.")
    call.playout.play(1_000)
    call.transcript.interrupted()
    call.playout.clear()
    told = call.resume()[-1]
    assert told.startswith("You: One")
    assert "eight" not in told


def test_newest_turns_stay_word_for_word() -> None:
    """A late transcript may still change them; functions go with the turns around them."""
    call = Call()
    for number in range(1, 5):
        call.turn(number)
        if number == 2:
            call.tool("a")
    covered, lines = call.recall.unfolded(0)
    assert covered == 4
    assert [line.split()[1] for line in lines] == [*["Question", "Answer"] * 2, "called"]
    call.turn(5)
    covered, lines = call.recall.unfolded(covered)
    assert covered == 6
    assert [line.split()[1] for line in lines] == ["Question", "Answer"]
    assert call.recall.unfolded(covered) == (6, [])


def test_result_that_came_after_its_turns_were_summed_up_is_not_lost() -> None:
    """Until then there is nothing to cover: neither the summary nor the handle holds it."""
    call = Call()
    call.turn(1)
    record = call.tool("a", took_s=None)
    for number in range(2, 6):
        call.turn(number)
    covered, lines = call.recall.unfolded(0)
    assert not any("called" in line for line in lines), "it has no result yet"
    call.summary = summary("questions", turns=covered)
    call.recall.handle_came()
    call.wait(0.1)
    record.ended_s, record.response = call.now_s, {"output": "a"}
    assert call.resume() == ['You called look({"id": "a"}). Its result: {"output": "a"}']
    for number in range(6, 9):
        call.turn(number)
    _, lines = call.recall.unfolded(covered)
    assert 'You called look({"id": "a"}). Its result: {"output": "a"}' in lines


def test_fresh_session_is_told_no_more_than_the_newest_turns_of_a_long_call() -> None:
    """The summary covers the others, and nobody reads hours of talk again while a caller waits."""
    call = Call()
    for number in range(1, 301):
        call.turn(number)
    call.summary = summary("questions", turns=590)
    told = call.refill()
    assert told[-1] == "You: Answer 300."
    assert "Caller: Question 150?" in told
    assert "Caller: Question 50?" not in told


def test_turns_of_earlier_streams_are_folded_first() -> None:
    """They count from the beginning of the call, as its record does."""
    history = [
        TurnRecord("caller", f"Before {number}.", f"Before {number}.", 0.0, 0.0)
        for number in range(1, 4)
    ]
    call = Call(open_call(SPEC, variables={}, history=history))
    call.wait(1.0)
    call.turn(1)
    call.turn(2)
    assert call.recall.unfolded(0) == (
        3,
        ["Caller: Before 1.", "Caller: Before 2.", "Caller: Before 3."],
    )
    call.summary = summary("it was before", turns=3)
    assert call.refill()[:1] == ["Caller: Before 1."], "a short call is told whole"
    call.wait(0.1)
    call.turn(3, handle=True)
    assert "Before" not in "\n".join(call.resume()), "the summary covers it"


def test_notes_and_a_changed_instruction_are_told_from_then_on() -> None:
    """To the connection that serves by itself, to later ones with everything else."""
    call = Call()
    call.turn(1, handle=True)
    call.notes.add("The caller is a regular.")
    call.notes.replace_instruction("Be brief.")
    assert call.recall.version == (0, 2)
    brief = call.recall.refreshed()
    assert brief.instruction.startswith("Be brief.")
    assert "Notes from the operator" in brief.instruction
    assert "The caller is a regular." in brief.instruction
    assert call.recall.reminder().startswith("Be brief.")
    call.recall.opened(brief)
    assert call.recall.updates_untold is False
    assert "The caller is a regular." in call.recall.brief(resumed=False).instruction


def test_connection_that_was_reminded_knows_the_notes() -> None:
    """But not one that was added while the reminder was on its way."""
    call = Call()
    call.turn(1, handle=True)
    call.notes.add("The caller is a regular.")
    version = call.recall.version
    call.recall.reminded(version)
    assert call.recall.updates_untold is False
    assert call.recall.summary_untold is False
    call.notes.add("The shop closes at six.")
    call.recall.reminded(version)
    assert call.recall.updates_untold


def test_note_from_before_anything_was_said_is_told() -> None:
    """To the connection that replaces the first one."""
    call = Call(open_call(SPEC, variables={}))
    call.notes.add("The caller is a regular.")
    assert "The caller is a regular." in call.recall.brief(resumed=False).instruction


def test_functions_of_earlier_streams_are_told_to_every_connection() -> None:
    """Else a table would be booked once for each stream."""
    history = [TurnRecord("caller", "I am Ada.", "I am Ada.", 0.0, 1.0)]
    booked = ToolRecord("id-1", "book", {"at": "8"}, 2.0, 3.0, "ok", {"output": "booked"})
    call = Call(open_call(SPEC, variables={}, history=history, tools=[booked]))
    call.wait(5.0)
    told = 'You called book({"at": "8"}). Its result: {"output": "booked"}'
    assert told in call.refill()
    call.turn(1, handle=True)
    assert told in call.resume()


def test_facts_and_notes_of_an_earlier_stream_alone_make_a_call_that_goes_on() -> None:
    """Its socket may have been lost before anything else was said."""
    call = Call()
    assert not call.recall.goes_on
    facts, notes = Facts([FactRecord("name", "Ada")]), Notes()
    for kept in ({"facts": facts}, {"notes": notes}):
        notes.add("A regular.")
        recall = Recall(call.opening, call.transcript, [], lambda: 0.0, **kept)
        assert recall.goes_on
        assert recall.brief(resumed=False).instruction != call.opening.system_instruction


# -- another worker's session ----------------------------------------------------------------------

HISTORY = [
    TurnRecord("caller", "I am Ada.", "I am Ada.", 1.0, 2.0),
    TurnRecord("agent", "Hello, Ada.", "Hello, Ada.", 3.0, 4.0),
    TurnRecord("caller", "Book it.", "Book it.", 11.0, 12.0),
    TurnRecord("agent", "One moment, I", "One moment,", 13.0, 14.0, said_ms=1_000, heard_ms=700),
]
ADA, HELLO = "Caller: I am Ada.", "You: Hello, Ada."
BOOK, MOMENT = "Caller: Book it.", "You: One moment,"


def taken_up(*tools: ToolRecord, told: tuple[int, ...] = (), **fields: object) -> Call:
    checkpoint = SessionCheckpoint(
        at_s=14.0,
        model="m",
        handle="h-1",
        handle_s=10.0,
        known_turns=2,
        told_turns=told,
        **fields,  # type: ignore[arg-type]  # as the checkpoint has them
    )
    call = Call(
        open_call(
            SPEC,
            variables={},
            history=HISTORY,
            tools=tools,
            checkpoint=checkpoint,
            now_s=15.0,
        )
    )
    call.now_s = 15.0
    return call


def test_handle_of_another_worker_is_told_what_it_does_not_know() -> None:
    """The turns after it, and where the agent was cut."""
    call = taken_up()
    assert call.resume() == [BOOK, MOMENT]
    assert taken_up().resume(cut_off=True) == [BOOK, MOMENT + CUT]


def test_what_stood_in_the_other_workers_instruction_is_told_again() -> None:
    """Its handle restores the conversation, and each setup brings its own instruction."""
    booked = ToolRecord("f-1", "book", {}, 5.0, 6.0, "ok", {"output": "booked"})
    line = 'You called book({}). Its result: {"output": "booked"}'
    assert taken_up(booked, told=(0,)).resume() == [ADA, BOOK, MOMENT]
    assert taken_up(booked, told_tools=("f-1",)).resume() == [line, BOOK, MOMENT]


def test_handle_that_comes_first_knows_all_of_the_history() -> None:
    """What was told by instruction alone is told again, and nothing else."""
    call = taken_up()
    assert call.resume() == [BOOK, MOMENT]
    call.recall.handle_came()
    assert call.resume() == [BOOK, MOMENT]
    call.wait(0.1)
    call.turn(1)
    assert call.resume() == [BOOK, MOMENT, "Caller: Question 1?", "You: Answer 1."]


def test_handle_that_comes_first_after_a_history_in_messages_knows_it() -> None:
    """It was part of the session's own conversation."""
    call = Call(open_call(SPEC, variables={}, history=HISTORY))
    call.now_s = 15.0
    call.refill(path=SeedPath.INITIAL_HISTORY)
    call.recall.handle_came()
    assert call.resume() == []


def test_handle_of_another_worker_that_fails_leaves_a_session_told_everything() -> None:
    """Which knows nothing."""
    assert taken_up().refill() == [ADA, HELLO, BOOK, MOMENT]


def test_function_whose_result_was_lost_is_told_until_a_handle_knows_of_it() -> None:
    """It does not run: nobody will bring its result."""
    lost = ToolRecord("f-1", "book", {}, 9.0, 9.0, "unknown")
    call = taken_up(lost)
    (line,) = (told for told in call.resume() if told.startswith("You called"))
    assert "may have been carried out" in line
    call = taken_up(lost)
    call.refill(path=SeedPath.INITIAL_HISTORY)
    call.wait(1.0)
    call.turn(1, handle=True)
    assert call.resume() == []


def test_checkpoint_alone_makes_a_call_that_goes_on() -> None:
    """Its handle knows more than we do."""
    call = Call(replace(Opening("Be kind."), checkpoint=SessionCheckpoint(1.0, "m", "h-1")))
    assert call.recall.goes_on
