"""Turns out of transcripts and audio: which turn a fragment belongs to, and what was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import TurnRecord
from agent.conversation.transcript import OPEN_TURNS, Transcript
from agent.conversation.turns import CallerTurn
from tests.fakes.playout import FakePlayout

ANSWER = "We open at seven in the morning and close at two in the afternoon."
ANSWER_MS = 4000.0


class Call:
    """A transcript with a clock and a playout moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.playout = FakePlayout()
        self.transcript = Transcript(self.playout, lambda: self.now_s, origin_s=100.0)

    def audio(self, duration_ms: float, chunk_ms: float = 100.0) -> None:
        """Hand on model audio in chunks, each noted before it is offered."""
        while duration_ms > 0:
            self.transcript.agent_audio(min(chunk_ms, duration_ms))
            self.playout.offer(min(chunk_ms, duration_ms))
            duration_ms -= chunk_ms

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.playout.play(seconds * 1000)

    def barge_in(self) -> float:
        cut_ms = self.transcript.interrupted().cut_ms
        self.playout.clear()
        return cut_ms

    def turns(self) -> list[tuple[str, str]]:
        return [(turn.speaker, turn.heard) for turn in self.transcript.snapshot()]

    def last(self) -> TurnRecord:
        return self.transcript.snapshot()[-1]


@pytest.fixture
def call() -> Call:
    return Call()


def test_heard_text_ends_where_the_playout_says(call: Call) -> None:
    """A barge-in half way: said is everything, heard is the half, at a word boundary."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.transcript.generation_completed()
    call.wait(2.0)
    assert call.barge_in() == pytest.approx(2000, abs=1)
    call.transcript.turn_completed()
    turn = call.last()
    assert turn.interrupted
    assert turn.said == ANSWER
    assert turn.heard == "We open at seven in the morning"
    assert turn.heard_ms == pytest.approx(2000, abs=1)
    assert turn.said_ms == ANSWER_MS


def test_turn_is_heard_after_the_server_completed_it(call: Call) -> None:
    """Audio is produced faster than it plays, so hearing goes on after turn_completed."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.transcript.turn_completed()
    call.wait(1.0)
    assert len(call.last().heard) < len(ANSWER) / 2
    call.wait(10.0)
    assert call.last().heard == ANSWER


def test_barge_in_after_turn_completed_cuts_the_turn(call: Call) -> None:
    """turn_completed then interrupted: the server assumed playout was still running."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.transcript.turn_completed()
    call.wait(1.0)
    assert call.barge_in() == pytest.approx(3000, abs=1)
    call.wait(5.0)
    assert call.last().interrupted
    assert call.last().heard_ms == pytest.approx(1000, abs=1)


def test_heard_of_an_interrupted_turn_does_not_grow_with_the_next(call: Call) -> None:
    """Playing the answer to a barge-in adds nothing to what was heard before it."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.wait(1.0)
    call.barge_in()
    call.transcript.turn_completed()
    heard = call.last().heard
    call.transcript.caller_text("Wait.")
    call.wait(2.0)
    call.transcript.agent_text("Of course.")
    call.audio(800)
    call.transcript.turn_completed()
    call.wait(3.0)
    assert call.turns() == [("agent", heard), ("caller", "Wait."), ("agent", "Of course.")]


def test_barge_in_with_all_heard_interrupts_nothing(call: Call) -> None:
    """A phantom ``interrupted`` after everything was played leaves the turn whole."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.transcript.turn_completed()
    call.wait(5.0)
    assert call.barge_in() == 0
    assert not call.last().interrupted
    assert call.last().heard == ANSWER


def test_text_after_all_audio_is_heard(call: Call) -> None:
    """Vertex and late transcripts: audio first, turn completed, then its text."""
    call.audio(ANSWER_MS)
    call.transcript.turn_completed()
    call.wait(0.4)
    call.transcript.agent_text(ANSWER)
    call.wait(5.0)
    assert call.turns() == [("agent", ANSWER)]


def test_last_words_after_turn_completed_belong_to_the_turn(call: Call) -> None:
    """Transcripts are not ordered: a turn's last words may come when it is closed."""
    call.transcript.agent_text("We open")
    call.audio(1000)
    call.transcript.turn_completed()
    call.wait(0.2)
    call.transcript.agent_text(" at seven.")
    call.wait(2.0)
    call.transcript.caller_text("Thanks.")
    assert call.turns() == [("agent", "We open at seven."), ("caller", "Thanks.")]


def test_first_words_of_the_next_turn_are_not_the_last_ones_of_this(call: Call) -> None:
    """A turn that follows at once, as after a tool, keeps its words though they precede audio."""
    call.transcript.agent_text("One moment.")
    call.audio(1000)
    call.transcript.turn_completed()
    call.wait(0.2)
    call.transcript.agent_text("Your order")
    call.transcript.agent_text(" is ready.")
    assert call.last().said == "One moment. Your order is ready."
    call.audio(1500)
    call.transcript.turn_completed()
    call.wait(3.0)
    assert call.turns() == [("agent", "One moment."), ("agent", "Your order is ready.")]


def test_interruption_after_everything_was_heard_cuts_nothing(call: Call) -> None:
    """The caller spoke after the last word, before the server closed the turn."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.transcript.generation_completed()
    call.wait(5.0)
    assert call.barge_in() == 0
    assert not call.last().interrupted


def test_text_after_an_interruption_belongs_to_the_interrupted_turn(call: Call) -> None:
    """Fragments under way when the caller barged in are said, but not heard."""
    call.transcript.agent_text("We open at seven")
    call.audio(1000)
    call.wait(0.5)
    call.barge_in()
    call.wait(0.1)
    call.transcript.agent_text(" in the morning.")
    call.transcript.turn_completed()
    [turn] = call.transcript.snapshot()
    assert turn.said == "We open at seven in the morning."
    assert turn.heard == "We open"


def test_answer_without_turn_completed_after_a_barge_in_is_a_new_turn(call: Call) -> None:
    """Some servers send no turnComplete after an interruption."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.wait(1.0)
    call.barge_in()
    call.wait(2.0)
    call.transcript.agent_text("Of course.")
    call.audio(800)
    assert [turn.said for turn in call.transcript.snapshot()] == [ANSWER, "Of course."]


def test_answer_without_audio_was_not_heard(call: Call) -> None:
    """An empty answer, text but not one frame of audio, is said and never heard."""
    call.transcript.agent_text("It is seven.")
    call.transcript.generation_completed()
    call.transcript.turn_completed()
    call.wait(5.0)
    assert call.last().said == "It is seven."
    assert call.last().heard == ""


def test_other_audio_in_between_does_not_count_as_the_turn(call: Call) -> None:
    """A tone played between two pieces of a turn shifts the second, and is not heard speech."""
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS / 2)
    call.playout.offer(1000)
    call.audio(ANSWER_MS / 2)
    call.transcript.turn_completed()
    call.wait(3.0)
    assert call.last().heard_ms == pytest.approx(2000, abs=1)
    call.wait(2.0)
    assert call.last().heard == ANSWER


def test_late_fragment_belongs_to_the_turn_before(call: Call) -> None:
    """The caller's last words are transcribed after the model began to answer."""
    call.transcript.caller_text("What time")
    call.transcript.caller_text(" do you")
    call.transcript.agent_text("We")
    call.audio(200)
    call.wait(0.3)
    call.transcript.caller_text(" open?")
    call.transcript.agent_text(" open at seven.")
    call.audio(800)
    call.transcript.turn_completed()
    call.wait(2.0)
    assert call.turns() == [("caller", "What time do you open?"), ("agent", "We open at seven.")]


def test_sentence_transcribed_after_the_answer_began_stands_before_it(call: Call) -> None:
    """3.1 sends one whole sentence, at times later than the first audio of the answer."""
    call.transcript.caller_speech_started(100.5)
    call.transcript.caller_speech_ended(102.0)
    call.now_s = 102.6
    call.audio(1000)
    call.wait(0.5)
    call.transcript.caller_text("What time do you open?")
    caller, agent = call.transcript.snapshot()
    assert (caller.speaker, agent.speaker) == ("caller", "agent")
    assert caller.started_s == pytest.approx(0.5)
    assert caller.ended_s == pytest.approx(2.0)


def test_words_over_the_agent_are_a_turn_of_their_own(call: Call) -> None:
    """With interruptions off the caller's words during the answer come after, not before it."""
    call.transcript.caller_text("What time do you open?")
    call.transcript.agent_text("We open")
    call.audio(4000)
    call.wait(3.0)
    call.transcript.caller_text("Right")
    call.transcript.agent_text(" at seven.")
    call.transcript.caller_text(", right.")
    call.transcript.turn_completed()
    call.wait(3.0)
    assert call.turns() == [
        ("caller", "What time do you open?"),
        ("agent", "We open at seven."),
        ("caller", "Right, right."),
    ]


def test_early_words_over_the_agent_are_told_by_the_callers_voice(call: Call) -> None:
    """Where the caller's voice was heard after the answer began, its words are not late."""
    call.transcript.caller_text("Hello?")
    call.audio(4000)
    call.wait(0.4)
    call.transcript.caller_speech_started(call.now_s)
    call.wait(0.6)
    call.transcript.caller_text("Wait!")
    assert [turn.speaker for turn in call.transcript.snapshot()] == ["caller", "agent", "caller"]


def test_answer_that_interrupts_a_kept_greeting_has_its_own_words(call: Call) -> None:
    """The greeting was whole from the start, so words after a barge-in are not its last ones."""
    call.transcript.agent_text(ANSWER, finished=True)
    call.audio(ANSWER_MS, chunk_ms=ANSWER_MS)
    call.transcript.turn_completed()
    call.wait(1.5)
    call.transcript.caller_speech_started(call.now_s - 0.5)
    call.transcript.caller_text("Hello?")
    call.barge_in()
    call.transcript.agent_text("Yes, we are here.")
    call.audio(800)
    call.transcript.turn_completed()
    assert [turn.said for turn in call.transcript.snapshot()] == [
        ANSWER,
        "Hello?",
        "Yes, we are here.",
    ]


def test_words_of_a_barge_in_follow_the_interrupted_turn(call: Call) -> None:
    """After ``interrupted`` the caller's words are new, however soon they come."""
    call.transcript.caller_text("Hi.")
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.wait(0.5)
    call.barge_in()
    call.transcript.caller_text("Thanks,")
    call.transcript.caller_text(" that is all.")
    assert [turn.said for turn in call.transcript.snapshot()] == [
        "Hi.",
        ANSWER,
        "Thanks, that is all.",
    ]


def test_answer_delay_counts_from_the_end_of_speech(call: Call) -> None:
    """The delay runs from the caller's last sound to the first audio handed on."""
    call.transcript.caller_speech_ended(101.0)
    call.now_s = 101.7
    call.audio(100)
    call.transcript.turn_completed()
    assert call.last().answer_delay_s == pytest.approx(0.7)


def test_answer_delay_is_known_though_silence_is_noticed_late(call: Call) -> None:
    """The end of speech is known only after some silence, by when the model may be speaking."""
    call.now_s = 101.3
    call.audio(100)
    call.transcript.caller_speech_ended(101.0)
    assert call.last().answer_delay_s == pytest.approx(0.3)


def test_turn_that_nobody_asked_for_has_no_answer_delay(call: Call) -> None:
    """A greeting, or a second turn after one question, answers nothing."""
    call.transcript.caller_speech_ended(101.0)
    call.now_s = 101.5
    call.audio(100)
    call.transcript.turn_completed()
    call.wait(1.0)
    call.audio(100)
    assert [turn.answer_delay_s for turn in call.transcript.snapshot()] == [
        pytest.approx(0.5),
        None,
    ]


def test_echo_of_our_own_text_is_not_the_caller(call: Call) -> None:
    """3.1 echoes realtimeInput.text as an input transcript."""
    call.transcript.told_model("The caller pressed 7.")
    call.transcript.caller_text("The caller  pressed 7. ")
    assert call.transcript.snapshot() == []
    call.transcript.caller_text("Seven.")
    assert call.turns() == [("caller", "Seven.")]


def test_greeting_from_the_cache_is_a_turn(call: Call) -> None:
    """Audio kept from an earlier call is noted like the model's, and turns may follow."""
    call.transcript.agent_text("Hello, this is Corner Bakery.")
    call.audio(2000, chunk_ms=2000)
    call.transcript.turn_completed()
    call.wait(2.5)
    call.transcript.caller_text("Hi there.")
    assert call.turns() == [("agent", "Hello, this is Corner Bakery."), ("caller", "Hi there.")]


def test_times_of_a_turn_are_those_of_its_hearing(call: Call) -> None:
    """A turn handed on while another plays starts when the caller begins to hear it."""
    call.transcript.agent_text("One moment.")
    call.audio(1000)
    call.transcript.turn_completed()
    call.transcript.agent_text("Your order is ready.")
    call.audio(1500)
    call.transcript.turn_completed()
    call.wait(4.0)
    first, second = call.transcript.snapshot()
    assert [first.started_s, first.ended_s] == pytest.approx([0.0, 1.0])
    assert [second.started_s, second.ended_s] == pytest.approx([1.0, 2.5])


def test_snapshot_is_a_copy(call: Call) -> None:
    """Who holds a snapshot does not see later words in it."""
    call.transcript.caller_text("Hello")
    before = call.transcript.snapshot()
    call.transcript.caller_text(" there")
    assert before[0].said == "Hello"


ACTIONS = st.one_of(
    st.tuples(st.just("agent_text"), st.sampled_from(["Hello.", " a", "日本", ""])),
    st.tuples(st.just("caller_text"), st.sampled_from(["Hi", " you", "", " "])),
    st.tuples(st.just("audio"), st.floats(1, 900)),
    st.tuples(st.just("wait"), st.floats(0, 3)),
    st.tuples(st.sampled_from(["barge_in", "turn_completed", "generation_completed"]), st.none()),
    st.tuples(st.sampled_from(["caller_speech_started", "caller_speech_ended"]), st.none()),
)


@given(st.lists(ACTIONS, max_size=40))
def test_any_order_of_events_keeps_every_word_once(actions: list[tuple[str, object]]) -> None:
    """Whatever comes in whatever order: no word is lost or doubled, heard is part of said."""
    call = Call()
    said = {"agent": 0, "caller": 0}
    for name, value in actions:
        if name in {"agent_text", "caller_text"}:
            assert isinstance(value, str)
            getattr(call.transcript, name)(value)
            said[name.removesuffix("_text")] += len("".join(value.split()))
        elif name in {"audio", "wait"}:
            getattr(call, name)(value)
        elif name == "barge_in":
            assert call.barge_in() >= 0
        elif name.startswith("caller_speech"):
            getattr(call.transcript, name)(call.now_s)
        else:
            getattr(call.transcript, name)()
    turns = call.transcript.snapshot()
    for speaker, size in said.items():
        total = sum(len("".join(t.said.split())) for t in turns if t.speaker == speaker)
        assert total == size
    for turn in turns:
        assert turn.said.startswith(turn.heard)
        assert 0 <= turn.heard_ms <= turn.said_ms
        assert turn.ended_s >= turn.started_s


def lines(call: Call, after: int = 0) -> list[tuple[str, str]]:
    """What a model is told of the turns behind a mark."""
    past = call.transcript.history()
    marked = next((turn.place for turn in past if turn.serial == after), -1)
    return [(turn.record.speaker, turn.record.heard) for turn in past if turn.place > marked]


def turn(call: Call, caller: str, agent: str, *, heard: bool = True) -> None:
    """One question and its answer, spoken whole."""
    call.transcript.caller_text(caller)
    call.wait(1.0)
    call.transcript.agent_text(agent)
    call.audio(ANSWER_MS)
    call.transcript.generation_completed()
    call.transcript.turn_completed()
    if heard:
        call.wait(ANSWER_MS / 1000)
    call.wait(3.0 if heard else 0.0)


def test_history_has_what_is_queued_as_heard() -> None:
    """By the time another model speaks, the caller will have heard it."""
    call = Call()
    turn(call, "When?", ANSWER, heard=False)
    assert call.transcript.snapshot()[-1].heard == ""
    assert lines(call) == [("caller", "When?"), ("agent", ANSWER)]


def test_history_of_an_answer_cut_off_is_the_words_of_its_audio() -> None:
    """Transcripts run ahead: words whose audio never came were never said."""
    call = Call()
    call.transcript.caller_text("When?")
    call.wait(1.0)
    call.transcript.agent_text(ANSWER)
    call.audio(1_000)
    call.transcript.connection_left(said_again=False)
    (_, (_, heard)) = lines(call)
    assert heard
    assert ANSWER.startswith(heard)
    assert len(heard) < len(ANSWER) / 2


def test_history_of_an_interrupted_answer_is_what_was_heard() -> None:
    """What was cleared will never be heard."""
    call = Call()
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.wait(1.0)
    call.barge_in()
    ((_, heard),) = lines(call)
    assert ANSWER.startswith(heard)
    assert len(heard) < len(ANSWER) / 2


def test_mark_lies_behind_the_newest_turn_the_server_has_closed() -> None:
    """A handle that comes then knows what was before it, and nothing after."""
    call = Call()
    assert call.transcript.mark() == 0
    turn(call, "When?", ANSWER)
    mark = call.transcript.mark()
    assert lines(call, mark) == []
    call.transcript.caller_text("And on Sunday?")
    call.wait(1.0)
    call.transcript.agent_text("Closed.")
    call.audio(500)
    assert call.transcript.mark() == mark
    assert lines(call, mark) == [("caller", "And on Sunday?"), ("agent", "Closed.")]
    call.transcript.generation_completed()
    call.transcript.turn_completed()
    assert lines(call, call.transcript.mark()) == []
    assert lines(call, mark) == [("caller", "And on Sunday?"), ("agent", "Closed.")]


def test_barge_in_closes_a_turn_for_the_mark() -> None:
    """The server knows that it was interrupted."""
    call = Call()
    call.transcript.agent_text(ANSWER)
    call.audio(ANSWER_MS)
    call.wait(1.0)
    call.barge_in()
    assert lines(call, call.transcript.mark()) == []


def test_words_that_are_said_again_are_neither_history_nor_doubled() -> None:
    """Their audio goes to another model, which transcribes it anew."""
    call = Call()
    turn(call, "When?", ANSWER)
    call.transcript.caller_text("And on")
    call.transcript.connection_left(said_again=True)
    assert lines(call)[-1] == ("agent", ANSWER)
    call.wait(1.0)
    call.transcript.caller_text("And on Sunday?")
    assert lines(call)[-1] == ("caller", "And on Sunday?")
    said = [record.said for record in call.transcript.snapshot()]
    assert said == ["When?", ANSWER, "And on Sunday?"]


def test_words_that_are_not_said_again_stay() -> None:
    """They are told to the next model in writing, and later ones are joined to them."""
    call = Call()
    call.transcript.caller_text("And on")
    call.transcript.connection_left(said_again=False)
    assert lines(call) == [("caller", "And on")]
    call.transcript.caller_text(" Sunday?")
    assert lines(call) == [("caller", "And on Sunday?")]


def test_words_said_again_that_are_never_transcribed_stay_on_record() -> None:
    """The record of a call loses nothing because a second model said nothing of it."""
    call = Call()
    call.transcript.caller_text("Hello?")
    call.transcript.connection_left(said_again=True)
    assert [record.said for record in call.transcript.snapshot()] == ["Hello?"]


def test_words_said_again_that_were_answered_untranscribed_are_history() -> None:
    """Input transcripts are missing now and then: the first model's is better than none."""
    call = Call()
    call.transcript.caller_text("It is 4711.")
    call.transcript.connection_left(said_again=True)
    call.transcript.agent_text("Thank you.")
    call.audio(600)
    assert lines(call) == [("agent", "Thank you.")], "it may come yet"
    call.transcript.turn_completed()
    assert lines(call) == [("caller", "It is 4711."), ("agent", "Thank you.")]


def test_turns_of_long_ago_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each turn something is done with all that may still change, which is a handful."""
    call = Call()
    for number in range(200):
        turn(call, f"Question {number}?", ANSWER)
        call.wait(3.0)
    read: list[CallerTurn] = []
    monkeypatch.setattr(CallerTurn, "update", lambda turn: read.append(turn))
    call.transcript.history(390)
    turn(call, "One more?", ANSWER)
    assert 0 < len(read) < 20


def test_answer_after_a_move_is_a_turn_of_its_own() -> None:
    """What the next model says does not go on in the turn that was cut off."""
    call = Call()
    call.transcript.agent_text("We open at")
    call.audio(600)
    call.transcript.connection_left(said_again=False)
    call.wait(2.0)
    call.transcript.agent_text("seven.")
    call.audio(400)
    assert [heard for _, heard in lines(call)] == ["We open at", "seven."]


def test_history_is_a_copy() -> None:
    """Whoever reads it cannot change the record."""
    call = Call()
    turn(call, "When?", ANSWER)
    call.transcript.history()[0].record.said = "never"
    assert call.transcript.snapshot()[0].said == "When?"


def test_late_words_of_the_caller_leave_every_serial_as_it_was() -> None:
    """They are put in before the answer; whoever was told of it knows it by its serial."""
    call = Call()
    turn(call, "When?", ANSWER)
    call.transcript.caller_speech_started(call.now_s)
    call.wait(0.5)
    call.transcript.caller_speech_ended(call.now_s)
    call.transcript.agent_text("Closed.")
    call.audio(500)
    before = {past.record.heard: past.serial for past in call.transcript.history()}
    call.transcript.caller_text("And on Sunday?")
    after = {past.record.heard: past.serial for past in call.transcript.history()}
    assert [past.record.heard for past in call.transcript.history()][-2:] == [
        "And on Sunday?",
        "Closed.",
    ]
    assert {text: after[text] for text in before} == before
    assert [past.place for past in call.transcript.history()] == [0, 1, 2, 3]


def test_history_from_a_place_on_leaves_out_what_came_before() -> None:
    """Whoever has folded the first turns of an hour does not read them again."""
    call = Call()
    turn(call, "When?", ANSWER)
    turn(call, "And on Sunday?", ANSWER)
    assert [(past.place, past.record.said) for past in call.transcript.history(2)] == [
        (2, "And on Sunday?"),
        (3, ANSWER),
    ]


# -- places ----------------------------------------------------------------------------------------


@given(steps=st.lists(st.sampled_from(["caller", "text", "audio", "over", "barge", "wait"])))
def test_only_the_newest_turns_can_change(steps: list[str]) -> None:
    """Who has kept the others need not look at them again, except for what was heard."""
    call = Call()
    kept: list[TurnRecord] = []
    for step in [*steps, "over", "caller"]:
        match step:
            case "caller":
                call.transcript.caller_text("Yes. ")
            case "text":
                call.transcript.agent_text("Well. ")
            case "audio":
                call.audio(300)
            case "over":
                call.transcript.generation_completed()
                call.transcript.turn_completed()
            case "barge":
                call.transcript.caller_speech_started(call.now_s)
                call.barge_in()
            case "wait":
                call.wait(0.7)
        turns = call.transcript.snapshot()
        assert len(turns) == len(call.transcript)
        assert call.transcript.snapshot(2) == turns[2:]
        whole = len(kept) - OPEN_TURNS
        for before, now in zip(kept[: max(0, whole)], turns, strict=False):
            assert (before.speaker, before.said) == (now.speaker, now.said)
        kept = turns
    places = {past.serial: past.place for past in call.transcript.history()}
    assert places
    for serial, place in places.items():
        assert call.transcript.place_of(serial) == place
        assert abs(place - (serial - 1)) <= 1


def test_turn_is_found_by_its_serial_where_it_is_by_now(call: Call) -> None:
    """Late words of the caller may have come before it."""
    call.transcript.agent_text(ANSWER)
    call.audio(1000)
    call.transcript.turn_completed()
    serial = call.transcript.mark()
    assert call.transcript.place_of(serial) == 0
    call.transcript.caller_text("When do you open?")
    assert call.transcript.place_of(serial) == 1
    assert call.transcript.place_of(99) is None
