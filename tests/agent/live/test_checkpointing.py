"""The checkpoint of a session: what it says, when there is a new one, and what it costs."""

from __future__ import annotations

from agent import events
from agent.checkpoint import News, SessionCheckpoint
from agent.context.notes import Notes
from agent.conversation.record import TurnRecord
from agent.conversation.transcript import PastTurn, Transcript
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.checkpointing import Checkpointing
from agent.live.handover import Standing
from agent.live.known import Known
from tests.agent.live.calls import AUDIO_100MS
from tests.fakes.playout import FakePlayout

ORIGIN_S = 1_000.0
AT_REST = Standing(
    model="m",
    handle="h-1",
    handle_s=1_050.0,
    generating=False,
    caller_speaking=False,
    answer_due=False,
)


class Watched(Transcript):
    """Fails where its turns are looked through."""

    forbidden = False
    looked_up = 0

    def place_of(self, serial: int) -> int | None:
        self.looked_up += 1
        return super().place_of(serial)

    def snapshot(self, first: int = 0) -> list[TurnRecord]:
        assert not self.forbidden
        return super().snapshot(first)

    def history(self, first: int = 0) -> list[PastTurn]:
        assert not self.forbidden
        return super().history(first)


class Kept:
    """Checkpoints of a transcript, with everything else given."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.playout = FakePlayout()
        self.transcript = Watched(self.playout, lambda: self.now_s, origin_s=0.0)
        self.known = Known(self.transcript, 0, None)
        self.notes = Notes()
        self.standing = AT_REST
        self.changes = 0
        self.news: list[News] = []
        self.fails = False
        self.checkpointing = Checkpointing(
            standing=lambda: self.standing,
            known=self.known,
            notes=self.notes,
            now_s=lambda: self.now_s,
            origin_s=ORIGIN_S,
            on_change=self.change,
        )

    def change(self, news: News) -> None:
        self.changes += 1
        self.news.append(news)
        if self.fails:
            raise RuntimeError("a bug")

    def talk(self, turns: int) -> None:
        for _ in range(turns // 2):
            self.now_s += 3.0
            self.transcript.caller_text("And what do you charge for a loaf of that?")
            self.now_s += 4.0
            self.transcript.agent_text("It is four pounds and twenty pence.")
            self.transcript.agent_audio(2_000)
            self.playout.offer(2_000)
            self.transcript.generation_completed()
            self.transcript.turn_completed()
            self.playout.play(2_000)


def test_checkpoint_says_where_the_session_stands() -> None:
    """Times count from the beginning of the call."""
    kept = Kept()
    kept.talk(4)
    kept.known.handle_came(50.0)
    kept.talk(2)
    kept.known.opened(frozenset({("turn", 5), ("tool", "f-1")}))
    kept.notes.add("A regular.")
    kept.notes.replace_instruction("Be brief.")
    assert kept.checkpointing.make() == SessionCheckpoint(
        at_s=21.0,
        model="m",
        handle="h-1",
        handle_s=50.0,
        known_turns=4,
        told_turns=(4,),
        told_tools=("f-1",),
        notes=("A regular.",),
        instruction="Be brief.",
    )


def test_without_a_handle_nothing_is_known() -> None:
    """What was told once is of no interest to a fresh session."""
    kept = Kept()
    kept.talk(4)
    kept.known.handle_came(10.0)
    kept.known.opened(frozenset({("turn", 1), ("tool", "f-1")}))
    kept.standing = Standing("m", None, 0.0, True, True, True)
    assert kept.checkpointing.make() == SessionCheckpoint(
        at_s=14.0, model="m", generating=True, caller_speaking=True, answer_due=True
    )


def test_audio_is_no_change() -> None:
    """It comes fifty times a second, and no checkpoint has any of it."""
    kept = Kept()
    kept.checkpointing.look(events.AudioReceived(AUDIO_100MS))
    assert kept.changes == 0
    kept.checkpointing.look(events.TurnCompleted())
    assert kept.changes == 1


def test_words_of_a_turn_that_goes_on_may_wait() -> None:
    """What the caller said before they fell silent is a turn that is over."""
    kept = Kept()
    kept.checkpointing.look(CallerSpeechStarted(1.0))
    kept.checkpointing.look(events.InputTranscribed("I would like"))
    kept.checkpointing.look(events.OutputTranscribed("We have"))
    kept.checkpointing.look(CallerSpeechEnded(2.0, 1000.0))
    kept.checkpointing.look(events.InputTranscribed("a loaf."))
    kept.checkpointing.look(events.GenerationCompleted())
    turn, words = News.TURN_TAKING, News.WORDS
    assert kept.news == [turn, words, words, turn, News.CHANGED, turn]


def test_turn_that_is_over_must_not_wait() -> None:
    """Another worker is to know it; where its words were kept before, there is no hurry."""
    kept = Kept()
    kept.checkpointing.look(events.OutputTranscribed("Yes."))
    kept.checkpointing.look(events.TurnCompleted())
    kept.checkpointing.look(events.OutputTranscribed("Yes."))
    kept.checkpointing.look(events.GenerationCompleted())
    kept.checkpointing.make()
    kept.checkpointing.look(events.TurnCompleted())
    assert kept.news == [News.WORDS, News.FINISHED, News.WORDS, News.TURN_TAKING, News.CHANGED]


def test_who_is_told_and_fails_does_not_disturb_the_session() -> None:
    """And is told the next time."""
    kept = Kept()
    kept.fails = True
    kept.checkpointing.changed()
    kept.checkpointing.changed()
    assert kept.changes == 2


def test_cost_does_not_grow_with_the_call() -> None:
    """Only the newest known turn is looked up by then; none is copied."""
    kept = Kept()
    kept.talk(2)
    kept.known.handle_came(1.0)
    kept.known.opened(frozenset({("turn", 1), ("turn", 2)}))
    kept.talk(10)
    first = kept.checkpointing.make()
    kept.transcript.forbidden = True
    kept.transcript.looked_up = 0
    kept.talk(100)
    later = kept.checkpointing.make()
    assert kept.transcript.looked_up == 1
    assert (first.known_turns, first.told_turns) == (2, (0, 1))
    assert (later.known_turns, later.told_turns) == (2, (0, 1))
