"""What the newest handle knows, in places that another worker understands."""

from __future__ import annotations

from agent.checkpoint import SessionCheckpoint
from agent.conversation.transcript import Transcript
from agent.live.known import Key, Known
from tests.fakes.playout import FakePlayout


class Call:
    """A transcript after three turns of earlier streams."""

    BEFORE = 3

    def __init__(self, checkpoint: SessionCheckpoint | None = None) -> None:
        self.now_s = 100.0
        self.playout = FakePlayout()
        self.transcript = Transcript(self.playout, lambda: self.now_s, origin_s=0.0)
        self.known = Known(self.transcript, self.BEFORE, checkpoint)

    def caller(self) -> None:
        self.now_s += 5.0
        self.transcript.caller_text("Yes.")

    def agent(self) -> int:
        self.now_s += 5.0
        self.transcript.agent_audio(500)
        self.playout.offer(500)
        self.playout.play(500)
        self.transcript.generation_completed()
        self.transcript.turn_completed()
        return self.transcript.mark()


CHECKPOINT = SessionCheckpoint(
    at_s=90.0,
    model="m",
    handle="h-1",
    handle_s=80.0,
    known_turns=2,
    told_turns=(0, 1),
    told_tools=("f-1",),
)


def test_it_begins_with_what_the_checkpoint_says() -> None:
    """The handle is the same as there."""
    known = Call(CHECKPOINT).known
    assert (known.turns, known.since_s) == (2, 80.0)
    assert known.told == {("before", 0), ("before", 1), ("tool before", "f-1")}
    assert (known.told_turns, known.told_tools) == ((0, 1), ("f-1",))


def test_without_a_checkpoint_it_knows_nothing() -> None:
    """There is no handle."""
    known = Call().known
    assert known.turns == 0
    assert not known.told
    assert not known.told_turns
    assert not known.told_tools


def test_checkpoint_that_knows_more_turns_than_there_are_knows_those() -> None:
    """The last of them may not have been journalled before the worker died."""
    transcript = Call().transcript
    known = Known(transcript, 1, CHECKPOINT)
    assert known.turns == 1
    assert known.told_turns == (0,)


def test_handle_before_any_turn_of_this_stream_knows_all_that_was_before() -> None:
    """Its connection was told, or has restored it."""
    call = Call(CHECKPOINT)
    call.caller()
    call.known.handle_came(call.now_s)
    assert (call.known.turns, call.known.since_s) == (3, 105.0)


def test_handle_knows_the_turns_up_to_the_last_that_was_closed() -> None:
    """Words of the caller that come late are put before it, and are known as well."""
    call = Call()
    call.agent()
    call.known.handle_came(call.now_s)
    assert call.known.turns == 4
    call.transcript.caller_text("When?")
    assert call.known.turns == 5
    for _ in range(10):
        call.caller()
        call.agent()
    assert call.known.turns == 5


def test_what_the_instruction_tells_is_told_by_place() -> None:
    """Turns of this stream count on from those before it, wherever they are by now."""
    call = Call()
    serial = call.agent()
    told: set[Key] = {("before", 1), ("turn", serial), ("tool", "f-2"), ("tool before", "f-1")}
    call.known.opened(frozenset(told))
    assert call.known.told_turns == (1, 3)
    call.transcript.caller_text("When?")
    for _ in range(10):
        assert call.known.told_turns == (1, 4)
        assert call.known.told_tools == ("f-1", "f-2")
        call.caller()
        call.agent()
    call.known.opened(frozenset({("turn", serial)}))
    assert list(call.known.told_turns) == [4]
