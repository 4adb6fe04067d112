"""The summary kept beside a call: its requests, and that nothing waits for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from agent.context import running
from agent.context.asking import RESPONSE_SCHEMA
from agent.context.keeper import SummaryKeeper
from agent.context.running import BY_EXTRACT
from agent.context.text_model import TextModelFailed
from agent.conversation.record import SummaryMade, SummaryRecord
from agent.spec import SummarySettings
from tests.fakes.clock import Clock
from tests.fakes.text_model import FakeTextModel

ANSWER = json.dumps(
    {
        "caller": "Maria Lopez",
        "wants": "",
        "facts": ["order number: 4711"],
        "promises": [],
        "open_points": [],
        "language": "en",
    }
)


class Talk:
    """Who knows what was said: all but the newest four turns are to be folded in."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.asked = 0

    def unfolded(self, covered: int) -> tuple[int, list[str]]:
        self.asked += 1
        end = max(covered, len(self.lines) - 4)
        return end, self.lines[covered:end]


class Kept:
    """A keeper in its call."""

    def __init__(
        self,
        model: FakeTextModel | None,
        *,
        timeout_s: float = 20.0,
        summary: SummaryRecord | None = None,
    ) -> None:
        self.talk = Talk()
        self.clock = Clock(0.0)
        self.told: list[SummaryMade] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.keeper = SummaryKeeper(
            SummarySettings(every_turns=6, timeout_s=timeout_s),
            model=model,
            source=self.talk,
            spawn=self._spawn,
            now_s=self.clock,
            summary=summary,
            on_made=self.told.append,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def say(self, turns: int) -> None:
        for _ in range(turns):
            number = len(self.talk.lines) + 1
            self.talk.lines.append(f"Caller: My order number {number} is 47{number:03}.")
            self.keeper.turn_over()

    async def settle(self) -> None:
        """Let everything that is under way come to its end."""
        while pending := [task for task in self.tasks if not task.done()]:
            await asyncio.gather(*pending)

    def in_flight(self) -> bool:
        return self.keeper.in_flight

    @property
    def outcomes(self) -> list[str]:
        return [made.outcome for made in self.keeper.made]


@pytest.fixture
def model() -> FakeTextModel:
    return FakeTextModel(ANSWER)


async def test_turns_are_folded_in_by_the_text_model(model: FakeTextModel) -> None:
    """All but the newest; the answer is the summary, and what it cost is known."""
    kept = Kept(model)
    kept.say(6)
    assert kept.in_flight()
    await kept.settle()
    assert not kept.in_flight()
    assert kept.keeper.summary is not None
    assert (kept.keeper.summary.caller, kept.keeper.summary.turns) == ("Maria Lopez", 2)
    assert (kept.keeper.version, kept.keeper.tokens) == (1, 10)
    assert kept.told == kept.keeper.made
    assert model.schemas == [RESPONSE_SCHEMA]
    assert "47002" in model.prompts[0]
    assert "47003" not in model.prompts[0]


async def test_never_two_requests_at_once_and_what_came_meanwhile_is_asked_next(
    model: FakeTextModel,
) -> None:
    """However many turns and cuts come while the model thinks."""
    model.open.clear()
    kept = Kept(model)
    for _ in range(10):
        kept.say(3)
        kept.keeper.cut_near()
        await asyncio.sleep(0)
    assert len(model.prompts) == 1
    model.open.set()
    await kept.settle()
    assert model.most_running == 1
    assert len(model.prompts) == 2
    assert kept.keeper.summary is not None
    assert kept.keeper.summary.turns == 26


async def test_nothing_waits_while_the_model_thinks(model: FakeTextModel) -> None:
    """Turns go on, with the last good summary."""
    before = SummaryRecord(caller="Maria Lopez", turns=0)
    model.open.clear()
    kept = Kept(model, summary=before)
    kept.say(12)
    assert kept.keeper.summary == before
    for task in kept.tasks:
        task.cancel()


async def test_silent_model_is_given_up_in_time(model: FakeTextModel) -> None:
    """A time-out is a failure like any other, and said to be one."""
    model.open.clear()
    kept = Kept(model, timeout_s=0.01)
    kept.say(6)
    await kept.settle()
    [made] = kept.keeper.made
    assert (made.outcome, made.by, made.detail) == (
        "timeout",
        "text-model",
        "no answer within 0.01 s",
    )
    assert model.running == 0
    assert not kept.in_flight()


async def test_failure_of_the_model_is_counted_with_its_cost_and_reason() -> None:
    """The operator learns why there is no summary."""
    error = TextModelFailed("over quota", retryable=True, tokens=5)
    kept = Kept(FakeTextModel(error, ANSWER))
    kept.say(6)
    await kept.settle()
    [made] = kept.keeper.made
    assert (made.outcome, made.detail, made.tokens) == ("failed", "over quota", 5)
    kept.say(2)
    await kept.settle()
    assert kept.outcomes == ["failed", "ok"]
    assert kept.keeper.tokens == 15


async def test_wrong_key_is_not_tried_again_and_again() -> None:
    """What no retry mends is folded in without the model at once."""
    model = FakeTextModel(TextModelFailed("wrong key", retryable=False))
    kept = Kept(model)
    kept.say(6)
    await kept.settle()
    kept.say(12)
    await kept.settle()
    assert len(model.prompts) == 1
    assert [made.by for made in kept.keeper.made] == ["text-model"] + [BY_EXTRACT] * 3


async def test_bug_in_a_model_costs_a_summary_and_not_the_call() -> None:
    """Its text stays out of the record: it may hold what was said."""
    kept = Kept(FakeTextModel(RuntimeError("the caller said: my card is 4111")))
    kept.say(6)
    await kept.settle()
    [made] = kept.keeper.made
    assert (made.outcome, made.detail) == ("failed", "RuntimeError")


async def test_answer_that_cannot_be_read_costs_a_summary_and_not_the_call(
    model: FakeTextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever reads it is ours, and may have a bug, too."""

    def fail(*_args: object, **_options: object) -> SummaryRecord:
        raise IndexError

    monkeypatch.setattr(running, "accept", fail)
    kept = Kept(model)
    kept.say(10)
    await asyncio.gather(*kept.tasks)
    assert [made.outcome for made in kept.told] == ["failed"]
    assert not kept.keeper.in_flight


async def test_nonsense_of_the_model_is_discarded() -> None:
    """The last good summary stays."""
    kept = Kept(FakeTextModel(ANSWER, "{}"))
    kept.say(6)
    await kept.settle()
    good = kept.keeper.summary
    kept.say(6)
    await kept.settle()
    assert kept.outcomes == ["ok", "discarded"]
    assert kept.keeper.summary == good


async def test_cut_near_brings_the_summary_up_to_date_at_once(model: FakeTextModel) -> None:
    """Before the turns it would need are gone."""
    kept = Kept(model)
    kept.say(5)
    assert model.prompts == []
    kept.keeper.cut_near()
    await kept.settle()
    assert kept.keeper.summary is not None
    assert kept.keeper.summary.turns == 1


async def test_cancelled_request_is_no_failure(model: FakeTextModel) -> None:
    """A session that ends cancels what it had spawned."""
    model.open.clear()
    kept = Kept(model)
    kept.say(6)
    await asyncio.sleep(0)
    kept.tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await kept.tasks[0]
    assert kept.keeper.made == []
    assert not kept.in_flight()


def test_without_a_model_nothing_is_spawned() -> None:
    """Facts are kept word for word as the turns come; no loop is needed."""
    kept = Kept(None)
    kept.say(12)
    assert kept.tasks == []
    assert not kept.in_flight()
    assert [made.by for made in kept.keeper.made] == [BY_EXTRACT, BY_EXTRACT]
    assert kept.keeper.summary is not None
    assert kept.keeper.summary.turns == 8
    assert "My order number 8 is 47008." in kept.keeper.summary.facts


def test_source_is_asked_only_when_something_is_due() -> None:
    """Most turns cost nothing but a count."""
    kept = Kept(None)
    kept.say(5)
    assert kept.talk.asked == 0
    kept.say(1)
    assert kept.talk.asked == 1


def test_summary_of_a_checkpoint_is_gone_on_with() -> None:
    """What it covers is not asked for again."""
    kept = Kept(None, summary=SummaryRecord(caller="Maria Lopez", turns=3))
    kept.say(10)
    assert kept.keeper.summary is not None
    assert kept.keeper.summary.caller == "Maria Lopez"
    assert all("47003" not in fact for fact in kept.keeper.summary.facts)
    assert any("47004" in fact for fact in kept.keeper.summary.facts)
