"""The brake: what stops a campaign, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.brake import OFFENDERS, Measure, Sample, judge, measure, sample
from workers.campaign.model import BrakeLimits, LineOutcome

LIMITS = BrakeLimits()
NO_LIMITS = BrakeLimits(failed=None, abandoned=None, blocked=None, opted_out=None)
MEASURES: tuple[Measure, ...] = ("failed", "abandoned", "blocked", "opted_out")


def calls(count: int, *, first: int = 1000, **flags: bool) -> list[Sample]:
    """So many calls, newest first; ids fall from ``first``."""
    return [Sample(first - index, **flags) for index in range(count)]


def offending(measure: Measure, count: int, of: int) -> list[Sample]:
    """``of`` calls that a person answered, the newest ``count`` of them offend."""
    return calls(count, human=True, **{measure: True}) + calls(of - count, first=500, human=True)


def limited(limits: BrakeLimits, measure: Measure, limit: float | None) -> BrakeLimits:
    """The limits with one of them changed."""
    changed: dict[str, Any] = {measure: limit}
    return replace(limits, **changed)


@pytest.mark.parametrize(
    ("measure", "below", "at", "of"),
    [
        ("failed", 14, 15, 50),
        ("abandoned", 1, 2, 50),
        ("blocked", 4, 5, 50),
        ("opted_out", 4, 5, 50),
    ],
)
def test_a_limit_trips_when_it_is_reached(measure: Measure, below: int, at: int, of: int) -> None:
    """One call less and the campaign goes on."""
    assert judge(offending(measure, below, of), LIMITS) is None
    tripped = judge(offending(measure, at, of), LIMITS)
    assert tripped is not None
    assert tripped.measure == measure
    assert tripped.share == at / of
    assert tripped.limit == getattr(LIMITS, measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_is_judged_before_there_are_enough(measure: Measure) -> None:
    """19 calls that all offend are 19 calls; the 20th counts."""
    assert judge(offending(measure, 19, 19), LIMITS) is None
    assert judge(offending(measure, 20, 20), LIMITS) is not None


@pytest.mark.parametrize("measure", MEASURES)
def test_a_limit_that_is_none_is_not_looked_at(measure: Measure) -> None:
    """Each can be switched off by itself."""
    samples = offending(measure, 50, 50)
    assert judge(samples, NO_LIMITS) is None
    assert judge(samples, limited(LIMITS, measure, None)) is None


@pytest.mark.parametrize("measure", MEASURES)
def test_a_limit_of_nothing_means_the_first_call(measure: Measure) -> None:
    """No offender is no reason, one is."""
    limits = limited(NO_LIMITS, measure, 0.0)
    assert judge(offending(measure, 0, 50), limits) is None
    assert judge(offending(measure, 1, 50), limits) is not None


@pytest.mark.parametrize("measure", MEASURES)
def test_old_calls_are_forgotten(measure: Measure) -> None:
    """Only the newest are looked at."""
    samples = calls(50, first=2000, human=True) + offending(measure, 50, 50)
    assert judge(samples, LIMITS) is None


def test_the_sentence_has_the_share_the_limit_and_the_last_offenders() -> None:
    """What the operator reads says how bad it is, and where to look."""
    tripped = judge(offending("failed", 20, 50), LIMITS)
    assert tripped is not None
    assert tripped.reason == "20 of the last 50 calls failed: 40 %, and the limit is 30 %."
    assert tripped.offenders == tuple(range(1000, 1000 - OFFENDERS, -1))


def test_a_share_is_written_with_what_matters() -> None:
    """One decimal, where there is one."""
    tripped = judge(offending("abandoned", 1, 30), LIMITS)
    assert tripped is not None
    assert tripped.reason == (
        "1 of the last 30 calls that a person answered had nobody speak within 2 s: "
        "3.3 %, and the limit is 3 %."
    )
    assert tripped.offenders == (1000,)


def test_abandoned_is_a_share_of_the_calls_a_person_answered() -> None:
    """Calls without a person neither count nor dilute."""
    machines, people = calls(50, first=400), offending("abandoned", 2, 50)
    samples = [one for pair in zip(machines, people, strict=True) for one in pair]
    tripped = judge(samples, LIMITS)
    assert tripped is not None
    assert (tripped.measure, tripped.share) == ("abandoned", 2 / 50)


def test_silence_at_a_machine_is_not_abandoned() -> None:
    """A machine that hears nobody has lost nothing."""
    assert judge(calls(50, abandoned=True), LIMITS) is None


def test_people_are_too_few_to_judge_where_calls_are_not() -> None:
    """One of two people is no half of anything."""
    assert judge(offending("abandoned", 1, 2) + calls(48, first=400), LIMITS) is None


def test_what_harms_most_is_named_first() -> None:
    """Where several limits are reached, the operator reads the worst."""
    flags = {"human": True, "failed": True, "abandoned": True, "blocked": True, "opted_out": True}
    order: list[Measure] = []
    limits = LIMITS
    while (tripped := judge(calls(50, **flags), limits)) is not None:
        order.append(tripped.measure)
        limits = limited(limits, tripped.measure, None)
    assert order == ["blocked", "abandoned", "opted_out", "failed"]


def test_no_calls_are_no_reason() -> None:
    """Also where the file asks for none."""
    assert judge([], replace(LIMITS, at_least=0)) is None


@given(
    flags=st.lists(st.tuples(*[st.booleans()] * 5), max_size=120),
    calls_looked_at=st.integers(1, 60),
    at_least=st.integers(0, 60),
)
def test_whatever_trips_has_its_offenders_among_the_calls(
    flags: list[tuple[bool, bool, bool, bool, bool]], calls_looked_at: int, at_least: int
) -> None:
    """Never without any, never with a call that did not offend, always at the limit or above."""
    samples = [Sample(index, *each) for index, each in enumerate(flags)]
    tripped = judge(samples, replace(LIMITS, calls=calls_looked_at, at_least=at_least))
    if tripped is None:
        return
    assert tripped.share >= tripped.limit
    assert 1 <= len(tripped.offenders) <= OFFENDERS
    assert all(getattr(samples[one], tripped.measure) for one in tripped.offenders)
    assert list(tripped.offenders) == sorted(tripped.offenders)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (LineOutcome.HUMAN, Sample(7, human=True)),
        (LineOutcome.VOICEMAIL, Sample(7)),
        (LineOutcome.MESSAGE_LEFT, Sample(7)),
        (LineOutcome.FAX, Sample(7)),
        (LineOutcome.BUSY, Sample(7)),
        (LineOutcome.NO_ANSWER, Sample(7)),
        (LineOutcome.FAILED, Sample(7, failed=True)),
        (LineOutcome.CARRIER_BLOCKED, Sample(7, blocked=True)),
        (LineOutcome.BAD_NUMBER, Sample(7, failed=True)),
        (LineOutcome.CANCELED, None),
        (LineOutcome.NOT_PLACED, Sample(7, failed=True)),
        (LineOutcome.OPTED_OUT, Sample(7, human=True, opted_out=True)),
    ],
)
def test_every_outcome_is_seen_for_what_it_is(
    outcome: LineOutcome, expected: Sample | None
) -> None:
    """What we ended ourselves is not seen at all."""
    assert sample(7, outcome) == expected


def test_the_table_above_has_every_outcome() -> None:
    """A new one must be thought about here."""
    (mark,) = test_every_outcome_is_seen_for_what_it_is.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(LineOutcome)


def test_an_abandoned_call_is_said_from_outside() -> None:
    """No line outcome tells it."""
    assert sample(7, LineOutcome.HUMAN, abandoned=True) == Sample(7, human=True, abandoned=True)


def test_shares_are_measured_beside_their_limits() -> None:
    """Before a limit is reached a screen can show how far it is; people are counted apart."""
    samples = offending("abandoned", 1, 25) + calls(15, first=300, failed=True)
    by_name = {one.measure: one for one in measure(samples, LIMITS)}
    assert list(by_name) == ["blocked", "abandoned", "opted_out", "failed"]
    assert (by_name["failed"].share, by_name["failed"].seen) == (15 / 40, 40)
    assert (by_name["abandoned"].share, by_name["abandoned"].seen) == (1 / 25, 25)
    assert [one.measure for one in by_name.values() if one.reached] == ["abandoned", "failed"]
    assert not any(one.judged for one in measure(samples[:19], LIMITS))
    assert not any(one.judged for one in measure(samples, NO_LIMITS))
