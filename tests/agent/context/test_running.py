"""When a summary is made, by whom, and what of it is taken."""

from __future__ import annotations

import json
import random

from agent.context.running import (
    BY_EXTRACT,
    MAX_ASKED_CHARS,
    MAX_LEFT_ALONE,
    MAX_MADE,
    Asked,
    RunningSummary,
)
from agent.context.summary import size_of
from agent.conversation.record import SummaryMade, SummaryRecord
from agent.spec import SummarySettings

EVERY = 6
SETTINGS = SummarySettings(model="text-model", every_turns=EVERY)


def answer(*facts: str, caller: str = "Maria Lopez") -> str:
    return json.dumps(
        {
            "caller": caller,
            "wants": "",
            "facts": list(facts),
            "promises": [],
            "open_points": [],
            "language": "en",
        }
    )


class Call:
    """A call as a policy sees it: turns come, answers come, and the time is a number."""

    def __init__(
        self, *, model: str | None = "text-model", summary: SummaryRecord | None = None
    ) -> None:
        self.told: list[SummaryMade] = []
        self.running = RunningSummary(
            SETTINGS, model=model, summary=summary, on_made=self.told.append
        )
        self.turns = self.running.covered
        self.now_s = 0.0

    def talk(self, turns: int) -> None:
        for _ in range(turns):
            self.turns += 1
            self.running.turn_over()
            self.now_s += 5.0

    def begin(self) -> Asked | None:
        """Fold in all turns so far; each says its number."""
        assert self.running.due
        numbers = range(self.running.covered + 1, self.turns + 1)
        lines = [f"Caller: My order number {number} is 47{number:03}." for number in numbers]
        return self.running.begin(self.turns, lines, at_s=self.now_s)

    def ask(self) -> Asked:
        asked = self.begin()
        assert asked is not None
        return asked

    def answered(self, text: str = "", *, tokens: int = 10) -> None:
        self.now_s += 2.0
        self.running.answered(text or answer("a: 1"), tokens, now_s=self.now_s)

    def failed(self, *, retryable: bool = True) -> None:
        self.now_s += 2.0
        self.running.failed("failed", "it is ill", now_s=self.now_s, tokens=3, retryable=retryable)

    def is_due(self) -> bool:
        return self.running.due

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(made.outcome, made.by) for made in self.running.made]


def test_summary_is_due_after_every_few_turns() -> None:
    """Counted anew from each one."""
    call = Call()
    call.talk(EVERY - 1)
    assert not call.is_due()
    call.talk(1)
    asked = call.ask()
    assert asked.covered == EVERY
    call.answered()
    assert not call.is_due()
    call.talk(EVERY)
    assert call.is_due()


def test_summary_is_due_at_once_when_a_cut_is_near() -> None:
    """Once: then the cut finds it up to date."""
    call = Call()
    call.talk(1)
    call.running.cut_near()
    assert call.ask().urgent
    call.answered()
    assert not call.is_due()


def test_two_are_never_under_way() -> None:
    """What comes meanwhile waits for the answer, and counts."""
    call = Call()
    call.talk(EVERY)
    call.ask()
    call.talk(EVERY * 3)
    call.running.cut_near()
    assert not call.is_due()
    call.answered()
    assert call.is_due()
    assert call.ask().covered == EVERY * 4


def test_answer_becomes_the_summary_of_the_turns_it_was_asked_for() -> None:
    """Turns that came meanwhile are not covered by it."""
    call = Call()
    call.talk(EVERY)
    call.ask()
    call.talk(3)
    call.answered(answer("order number: 4711"), tokens=120)
    assert call.running.summary == SummaryRecord(
        caller="Maria Lopez", facts=("order number: 4711",), language="en", turns=EVERY
    )
    assert call.running.made == [
        SummaryMade(EVERY * 5.0, 17.0, "ok", EVERY, "text-model", tokens=120)
    ]
    assert call.told == call.running.made
    assert call.running.tokens == 120


def test_model_is_told_what_is_known_and_what_was_said_since() -> None:
    """Not what the summary holds already."""
    call = Call(summary=SummaryRecord(facts=("voucher: AB-1234",), turns=2))
    call.talk(EVERY)
    prompt = call.ask().prompt
    assert "voucher: AB-1234" in prompt
    assert "47003" in prompt
    assert "47008" in prompt
    assert "47002" not in prompt


def test_failure_keeps_the_last_good_summary_and_is_counted() -> None:
    """Nothing of what is known is risked for what may come."""
    call = Call(summary=SummaryRecord(caller="Maria Lopez", turns=2))
    call.talk(EVERY)
    call.ask()
    call.failed()
    assert call.running.summary == SummaryRecord(caller="Maria Lopez", turns=2)
    assert call.running.version == 0
    assert call.running.made == [
        SummaryMade(30.0, 2.0, "failed", EVERY, "text-model", tokens=3, detail="it is ill")
    ]
    assert call.running.tokens == 3


def test_nonsense_is_discarded_with_its_reason() -> None:
    """What it cost is counted all the same."""
    call = Call(summary=SummaryRecord(caller="Maria Lopez", turns=2))
    call.talk(EVERY)
    call.ask()
    call.answered("I cannot do that.", tokens=7)
    assert call.running.summary == SummaryRecord(caller="Maria Lopez", turns=2)
    [made] = call.running.made
    assert (made.outcome, made.tokens, made.by) == ("discarded", 7, "text-model")
    assert made.detail.startswith("not JSON")
    assert call.running.tokens == 7


def test_empty_answer_to_small_talk_is_the_truth() -> None:
    """A greeting holds nothing; where something was told, an empty answer is nonsense."""
    call = Call()
    call.talk(EVERY)
    asked = call.running.begin(EVERY, ["Caller: Hello there.", "You: Hello."], at_s=call.now_s)
    assert asked is not None
    call.answered(answer(caller=""))
    (made,) = call.told
    assert (made.outcome, call.running.covered, call.running.version) == ("ok", EVERY, 0)
    call.talk(EVERY)
    call.ask()
    call.answered(answer(caller=""))
    assert call.told[-1].outcome == "discarded"


def test_answer_that_forgot_most_of_what_was_known_is_discarded() -> None:
    """A model that was talked into forgetting does not make the call forget."""
    facts = tuple(f"item {number}: {number}4711" for number in range(1, 6))
    call = Call(summary=SummaryRecord(facts=facts, turns=2))
    call.talk(EVERY)
    call.ask()
    call.answered(answer("order number: 88231"))
    assert call.running.summary is not None
    assert call.running.summary.facts == facts
    assert call.outcomes == [("discarded", "text-model")]


def test_next_try_waits_for_two_more_turns() -> None:
    """An ill model is not asked at every turn; it is asked for all that was missed."""
    call = Call()
    call.talk(EVERY)
    call.ask()
    call.failed()
    call.talk(1)
    assert not call.is_due()
    call.talk(1)
    asked = call.ask()
    assert asked.covered == EVERY + 2
    assert "47001" in asked.prompt


def test_after_three_failures_the_span_is_folded_in_without_the_model() -> None:
    """Memory never waits for an ill model."""
    call = Call()
    call.talk(EVERY)
    for _ in range(3):
        call.ask()
        call.failed()
        call.talk(2)
    assert call.outcomes == [("failed", "text-model")] * 3 + [("ok", BY_EXTRACT)]
    assert call.running.summary is not None
    assert call.running.summary.turns == EVERY + 4
    assert "My order number 1 is 47001." in call.running.summary.facts


def test_ill_model_is_asked_again_later_and_less_often() -> None:
    """Each further failure costs a fold nothing but the wait for it."""
    call = Call()
    asked: list[bool] = []
    for _ in range(60):
        call.talk(EVERY)
        asked.append(call.begin() is not None)
        if asked[-1]:
            call.failed()
    gaps = [len(gap) for gap in "".join("x" if one else "." for one in asked).split("x")[1:-1]]
    assert gaps == [0, 0, 1, 2, 4, *[MAX_LEFT_ALONE] * (len(gaps) - 5)]
    assert len(gaps) > 6
    assert call.running.covered == 60 * EVERY


def test_model_that_is_well_again_takes_over() -> None:
    """One good answer and everything is as before."""
    call = Call()
    for _ in range(4):
        call.talk(EVERY)
        if call.begin() is not None:
            call.failed()
    call.talk(EVERY)
    call.ask()
    facts = call.running.summary.facts if call.running.summary else ()
    call.answered(answer(*facts))
    assert call.outcomes[-1] == ("ok", "text-model")
    call.talk(EVERY)
    call.ask()
    call.failed()
    call.talk(2)
    assert call.begin() is not None


def test_what_no_retry_mends_is_not_retried_soon() -> None:
    """A wrong key stays wrong; the span is folded in at once."""
    call = Call()
    call.talk(EVERY)
    call.ask()
    call.failed(retryable=False)
    assert call.outcomes == [("failed", "text-model"), ("ok", BY_EXTRACT)]
    for _ in range(MAX_LEFT_ALONE):
        call.talk(EVERY)
        assert call.begin() is None
    call.talk(EVERY)
    assert call.begin() is not None


def test_near_cut_does_not_wait_for_a_model_that_has_just_failed() -> None:
    """Whether the failure or the cut comes first, what was said is folded in before it is gone."""
    first = Call()
    first.talk(EVERY)
    first.ask()
    first.failed()
    first.running.cut_near()
    assert first.begin() is None
    assert first.running.covered == EVERY
    meanwhile = Call()
    meanwhile.talk(EVERY)
    meanwhile.ask()
    meanwhile.running.cut_near()
    meanwhile.failed()
    assert meanwhile.running.covered == EVERY
    urgent = Call()
    urgent.talk(1)
    urgent.running.cut_near()
    urgent.ask()
    urgent.failed()
    assert urgent.running.covered == 1


def test_without_a_text_model_every_fold_is_made_at_once() -> None:
    """Nothing is ever under way."""
    call = Call(model=None)
    call.talk(EVERY)
    assert call.begin() is None
    assert call.running.asked is None
    assert call.running.covered == EVERY
    assert call.running.made == [SummaryMade(30.0, 0.0, "ok", EVERY, BY_EXTRACT)]
    assert call.running.tokens == 0


def test_nothing_to_fold_in_is_no_attempt() -> None:
    """The newest turns are left out, so there may be nothing yet; the next turn asks again."""
    call = Call()
    call.talk(EVERY)
    assert call.running.begin(2, ["", " "], at_s=0.0) is None
    assert call.running.made == []
    assert call.is_due()
    call.talk(1)
    call.ask()
    idle = Call()
    idle.running.cut_near()
    assert idle.running.begin(0, [], at_s=0.0) is None
    assert not idle.is_due()


def test_version_changes_with_what_is_told_and_with_nothing_else() -> None:
    """Small talk must not make a session move."""
    call = Call(model=None)
    call.talk(EVERY)
    call.begin()
    assert call.running.version == 1
    call.talk(EVERY)
    assert call.running.begin(call.turns, ["Caller: I see."], at_s=0.0) is None
    assert call.running.version == 1
    assert call.running.covered == EVERY * 2


def test_long_backlog_is_asked_for_in_part_and_kept_whole() -> None:
    """Of what one request cannot hold the older part is folded in without the model."""
    call = Call()
    call.talk(EVERY)
    lines = ["Caller: My order number is 4711."] + [f"You: {'so ' * 300}" for _ in range(60)]
    asked = call.running.begin(61, [*lines, "Caller: Yes."], at_s=0.0)
    assert asked is not None
    assert len(asked.prompt) < MAX_ASKED_CHARS + 6_000
    assert "Notes so far: - “My order number is 4711.”" in asked.prompt
    assert "Caller: Yes." in asked.prompt
    call.answered(answer())
    assert call.running.summary is not None
    assert call.running.summary.facts == ("My order number is 4711.",)


def test_long_backlog_of_a_model_that_fails_is_kept_whole() -> None:
    """What was folded in for the request alone is folded in again."""
    call = Call()
    call.running.cut_near()
    lines = ["Caller: My order number is 4711."] + [f"You: {'so ' * 300}" for _ in range(60)]
    assert call.running.begin(61, lines, at_s=0.0) is not None
    call.failed()
    assert call.running.summary is not None
    assert call.running.summary.facts == ("My order number is 4711.",)
    assert call.running.covered == 61


def test_abandoned_request_leaves_nothing_under_way() -> None:
    """A session that ends takes its request with it."""
    call = Call()
    call.talk(EVERY)
    call.ask()
    call.running.abandoned()
    assert call.running.asked is None
    assert call.running.made == []
    call.talk(EVERY)
    assert call.is_due()


def test_any_course_of_a_call_keeps_the_rules() -> None:
    """Whatever fails and when: covered turns only grow, bounds hold, no try is made too early."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(8):
        call = Call(model=chance.choice(["text-model", "text-model", None]))
        failed_at: int | None = None
        covered = 0
        for _ in range(300):
            step = chance.random()
            if step < 0.6:
                call.talk(1)
            elif step < 0.65:
                call.running.cut_near()
            elif call.running.asked is not None:
                if chance.random() < 0.5:
                    call.failed(retryable=chance.random() < 0.9)
                    failed_at = call.turns
                else:
                    call.answered(chance.choice([answer("a: 1"), "nonsense", ""]))
                    if call.running.made[-1].outcome != "ok":
                        failed_at = call.turns
            elif call.is_due() and call.begin() is not None and failed_at is not None:
                assert call.turns - failed_at >= 2
            assert call.running.covered >= covered
            covered = call.running.covered
            assert size_of(call.running.summary) <= SETTINGS.max_chars
            assert len(call.running.made) <= MAX_MADE
        assert covered > 0
        assert call.running.tokens == sum(made.tokens for made in call.told)
