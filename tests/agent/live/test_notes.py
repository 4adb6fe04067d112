"""What is kept of a session."""

from __future__ import annotations

from agent import events
from agent.audio import PcmChunk
from agent.conversation.transcript import Transcript
from agent.live.notes import SessionNotes
from tests.fakes.playout import FakePlayout

AUDIO = events.AudioReceived(PcmChunk(b"\0\x10" * 2_400, 24_000))


def notes() -> tuple[SessionNotes, FakePlayout, Transcript, list[PcmChunk]]:
    playout = FakePlayout()
    transcript = Transcript(playout)
    kept: list[PcmChunk] = []
    return SessionNotes(transcript, kept.append), playout, transcript, kept


def test_context_is_the_newest_prompt_and_the_rest_adds_up() -> None:
    """Samples without a prompt do not set the context size to nothing."""
    taken, *_ = notes()
    for usage in (events.UsageReported(187, 46, 233), events.UsageReported(0, 4, 4)):
        taken.take(usage)
    assert taken.usage.context_tokens == 187
    assert (taken.usage.response_tokens, taken.usage.total_tokens) == (50, 237)


def test_clearing_an_empty_playout_is_no_barge_in() -> None:
    """A phantom interruption cuts nothing and is not recorded as one that did."""
    taken, playout, *_ = notes()
    taken.playout_cleared()
    assert taken.barge_ins == []
    taken.take(AUDIO)
    playout.offer(100)
    taken.playout_cleared()
    assert [record.cut_ms for record in taken.barge_ins] == [100]


def test_greeting_that_was_cut_is_not_kept() -> None:
    """Only a greeting spoken whole may greet the next caller."""
    taken, playout, _, kept = notes()
    taken.greeting_asked("Hello there.")
    taken.take(events.OutputTranscribed("Hello there."))
    taken.take(AUDIO)
    playout.offer(100)
    taken.playout_cleared()
    taken.take(events.TurnCompleted())
    assert kept == []


def test_thoughts_leave_no_trace() -> None:
    """A thought is neither said nor heard."""
    taken, _, transcript, _ = notes()
    taken.take(events.ThoughtReceived("Hm."))
    assert transcript.snapshot() == []
