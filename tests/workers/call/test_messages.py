"""Messages reach the session of their call once, and the store hears what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import pytest

from agent.conversation.record import EndReason, StreamRecord, UpdateRecord
from tests.fakes.clock import Clock
from tests.fakes.store import MemoryCallStore
from workers.call.messages import MessagePoller
from workers.store.messages import (
    HAND_OVER_WITHIN_S,
    MessageKind,
    MessageOutcome,
    MessageState,
)

How = Literal["system_content", "context_update", "next_move"]


@dataclass
class FakeSession:
    """Takes what it is told, or raises; ``told`` says whether the model hears it at once."""

    how: How = "system_content"
    told: bool = True
    raises: Exception | None = None
    heard: list[tuple[str, str]] = field(default_factory=list)
    updates: list[UpdateRecord] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)
    """Of the hand-overs that were asked for."""

    def add_context(self, text: str) -> UpdateRecord:
        return self._update("context", text)

    def update_instruction(self, text: str) -> UpdateRecord:
        return self._update("instruction", text)

    def hand_over(self, limit_s: float) -> None:
        if self.raises is not None:
            raise self.raises
        self.limits_s.append(limit_s)

    def _update(self, kind: Literal["context", "instruction"], text: str) -> UpdateRecord:
        if self.raises is not None:
            raise self.raises
        self.heard.append((kind, text))
        self.updates.append(UpdateRecord(1.0, kind, self.how, 1.0 if self.told else None))
        return self.updates[-1]


@dataclass
class FakeLive:
    session: FakeSession = field(default_factory=FakeSession)
    instructed_s: float | None = 0.1
    stream: StreamRecord = field(default_factory=lambda: StreamRecord("MZ1", 0.0))

    def end(self, reason: EndReason) -> None:
        self.stream.end_reason = reason


class World:
    def __init__(self) -> None:
        self.store = MemoryCallStore()
        self.clock = Clock()
        self.live = {"CA1": FakeLive()}
        self.over: set[str] = set()
        self.poller = MessagePoller(
            self.store,
            self.live,
            is_over=self.over.__contains__,
            worker="worker 1",
            poll_s=0.02,
            watch_s=0.005,
        )

    @property
    def session(self) -> FakeSession:
        return self.live["CA1"].session

    async def leave(self, text: str = "be brief", call_sid: str = "CA1") -> int:
        return await self.store.leave_message(call_sid, MessageKind.CONTEXT, text)

    async def outcome(self, number: int) -> MessageOutcome | None:
        state = await self.store.message_state(number)
        assert state is not None
        return state.outcome

    async def until(self, number: int, outcome: MessageOutcome) -> None:
        async with asyncio.timeout(2):
            while await self.outcome(number) is not outcome:  # noqa: ASYNC110  plain data
                await asyncio.sleep(0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.poller.close()


async def test_message_is_told_to_its_call(world: World) -> None:
    """To that one alone; where the model hears it at once, that is the end of it."""
    world.live["CA2"] = FakeLive()
    number = await world.leave()
    await world.poller.ask()
    assert world.session.heard == [("context", "be brief")]
    assert world.live["CA2"].session.heard == []
    assert await world.outcome(number) is MessageOutcome.TOLD


async def test_instruction_replaces_the_agents(world: World) -> None:
    """The kind decides what is done with the text."""
    await world.store.leave_message("CA1", MessageKind.INSTRUCTION, "You sell cakes.")
    await world.poller.ask()
    assert world.session.heard == [("instruction", "You sell cakes.")]


async def test_messages_are_told_in_the_order_they_were_left(world: World) -> None:
    """The later one may correct the earlier one."""
    for text in ("a", "b", "c"):
        await world.leave(text)
    await world.poller.ask()
    assert [text for _, text in world.session.heard] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("next_move", MessageOutcome.NEXT_MOVE),
        ("system_content", MessageOutcome.WAITS),
        ("context_update", MessageOutcome.WAITS),
    ],
)
async def test_message_that_waits_is_followed_until_it_is_told(
    world: World, how: How, outcome: MessageOutcome
) -> None:
    """The store hears at once that it waits, and later that it was told."""
    world.session.how, world.session.told = how, False
    number = await world.leave()
    await world.poller.ask()
    assert await world.outcome(number) is outcome
    world.poller.watch()
    assert await world.outcome(number) is outcome
    world.session.updates[0].done_s = 2.0
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.TOLD


async def test_message_that_waits_when_the_call_ends_came_too_late(world: World) -> None:
    """Silence would be taken for success."""
    world.session.told = False
    number = await world.leave()
    await world.poller.ask()
    del world.live["CA1"]
    world.over.add("CA1")
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.OVER


async def test_message_told_in_the_calls_last_moment_was_told(world: World) -> None:
    """Also where the call is gone by the time somebody looks."""
    world.session.told = False
    number = await world.leave()
    await world.poller.ask()
    world.session.updates[0].done_s = 2.0
    del world.live["CA1"]
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.TOLD


async def test_message_that_waits_is_told_by_the_setup_of_the_next_stream(world: World) -> None:
    """It stands in the instruction there; until that is sent, nobody says that it came too late."""
    world.session.told = False
    number = await world.leave()
    await world.poller.ask()
    del world.live["CA1"]
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.WAITS
    world.live["CA1"] = FakeLive(instructed_s=None)
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.WAITS
    world.live["CA1"].instructed_s = 9.0
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.TOLD


async def test_call_that_ends_while_the_store_is_asked(world: World) -> None:
    """Its message is taken by then, so it must be settled."""
    number = await world.leave()
    world.store.read_delay_s = 0.02
    asking = asyncio.create_task(world.poller.ask())
    await asyncio.sleep(0.005)
    del world.live["CA1"]
    await asking
    assert await world.outcome(number) is MessageOutcome.OVER


async def test_refusal_is_handed_back_word_for_word(world: World) -> None:
    """The operator can shorten what is too long."""
    world.session.raises = ValueError("the text is too long: 9,000 characters, at most 2,000")
    number = await world.leave()
    await world.poller.ask()
    assert await world.store.message_state(number) == MessageState(
        taken=True,
        outcome=MessageOutcome.REFUSED,
        detail="the text is too long: 9,000 characters, at most 2,000",
    )


async def test_session_that_fails_costs_its_own_message_alone(world: World) -> None:
    """The next call's agent is told, and the first operator gets an answer."""
    world.live["CA2"] = FakeLive()
    world.session.raises = RuntimeError("a bug")
    number, other = await world.leave(), await world.leave("hello", "CA2")
    await world.poller.ask()
    assert await world.outcome(number) is MessageOutcome.FAILED
    assert await world.outcome(other) is MessageOutcome.TOLD


async def test_message_that_the_store_gives_out_again_is_told_once(world: World) -> None:
    """It does so until it has been told what became of it, which an outage may delay."""
    number = await world.leave()
    await world.poller.ask()
    world.store.messages[number].outcome = None
    await world.poller.ask()
    assert len(world.session.heard) == 1


async def test_nothing_is_asked_while_no_call_is_live(world: World) -> None:
    """An idle worker leaves the database alone."""
    del world.live["CA1"]
    world.poller.start()
    await asyncio.sleep(0.1)
    assert world.store.questions == 0
    world.live["CA1"] = FakeLive()
    await asyncio.sleep(0.1)
    assert world.store.questions > 0


async def test_one_question_for_all_calls(world: World) -> None:
    """However many there are, a second costs one."""
    world.live |= {f"CA{number}": FakeLive() for number in range(2, 200)}
    await world.poller.ask()
    assert world.store.questions == 1


async def test_store_that_comes_back_is_asked_again(world: World) -> None:
    """An outage delays messages; it does not end them, nor anything else."""
    number = await world.leave()
    world.store.failing = True
    world.poller.start()
    await asyncio.sleep(0.06)
    assert world.session.heard == []
    world.store.failing = False
    await asyncio.sleep(0.06)
    assert await world.outcome(number) is MessageOutcome.TOLD


async def test_task_tells_and_follows(world: World) -> None:
    """What the two steps do is done by itself, and what waited is noticed soon after."""
    world.session.told = False
    number = await world.leave()
    world.poller.start()
    await world.until(number, MessageOutcome.WAITS)
    world.session.updates[0].done_s = 3.0
    await world.until(number, MessageOutcome.TOLD)


async def test_worker_that_stops_settles_what_waits(world: World) -> None:
    """Nobody else will tell it."""
    world.session.told = False
    number = await world.leave()
    await world.poller.ask()
    await world.poller.close()
    assert await world.outcome(number) is MessageOutcome.OVER


async def hand_over(world: World, limit: str = "12.5") -> int:
    """Leave the message and have it taken."""
    number = await world.store.leave_message("CA1", MessageKind.HAND_OVER, limit)
    await world.poller.ask()
    return number


async def test_hand_over_is_done_when_the_stream_is_gone(world: World) -> None:
    """The session is asked once, with the limit, and it is told that it waits until then."""
    number = await hand_over(world)
    assert world.session.limits_s == [12.5]
    assert world.session.heard == []
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.WAITS
    # It has ended, but its record is still on its way to the store.
    world.live["CA1"].end(EndReason.HANDED_OVER)
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.WAITS
    del world.live["CA1"]
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.HANDED_OVER


async def test_call_that_comes_back_to_its_worker_was_handed_over(world: World) -> None:
    """It may be the only one there is; the new stream is another one."""
    number = await hand_over(world)
    world.live["CA1"].end(EndReason.HANDED_OVER)
    world.live["CA1"] = FakeLive()
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.HANDED_OVER
    assert world.session.limits_s == []


async def test_call_that_another_worker_took_meanwhile_was_handed_over(world: World) -> None:
    """That it be there was what was wanted."""
    number = await hand_over(world)
    world.live.pop("CA1").end(EndReason.TAKEN_OVER)
    world.poller.watch()
    assert await world.outcome(number) is MessageOutcome.HANDED_OVER


async def test_caller_who_hangs_up_before_the_hand_over(world: World) -> None:
    """Whoever waits reads how it ended instead."""
    number = await hand_over(world)
    world.live.pop("CA1").end(EndReason.CALLER_HUNG_UP)
    world.poller.watch()
    state = await world.store.message_state(number)
    assert state == MessageState(taken=True, outcome=MessageOutcome.OVER, detail="caller_hung_up")


async def test_hand_over_without_a_limit_has_the_usual_one(world: World) -> None:
    """Whoever leaves the message need not know it."""
    await hand_over(world, "")
    assert world.session.limits_s == [HAND_OVER_WITHIN_S]


@pytest.mark.parametrize("limit", ["soon", "-1", "nan", "inf"])
async def test_hand_over_without_a_proper_limit_is_refused(world: World, limit: str) -> None:
    """The session is not asked to wait for ever, or backwards."""
    number = await hand_over(world, limit)
    assert await world.outcome(number) is MessageOutcome.REFUSED
    assert world.session.limits_s == []


async def test_session_that_fails_to_hand_over(world: World) -> None:
    """Nobody waits for a stream that will not end."""
    world.session.raises = RuntimeError("a bug")
    number = await hand_over(world)
    assert await world.outcome(number) is MessageOutcome.FAILED


async def test_hand_over_in_the_last_moment_of_a_worker_is_settled_as_such(world: World) -> None:
    """A worker that drains closes right after its calls have left."""
    number = await hand_over(world)
    world.live.pop("CA1").end(EndReason.HANDED_OVER)
    await world.poller.close()
    assert await world.outcome(number) is MessageOutcome.HANDED_OVER
