"""Who answers by chance: the same for the same seed, number and count, and in the given mix."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from workers.twin.twilio_api.callees import CalleeMix, RandomCallees

NUMBERS = [f"+1555{n:07}" for n in range(10_000)]


def test_behaviour_follows_from_seed_number_and_count() -> None:
    """Whatever order the calls come in, and not the same at another seed or count."""
    one, two = RandomCallees(7), RandomCallees(7)
    forth = {to: one(to) for to in NUMBERS[:500]}
    back = {to: two(to) for to in reversed(NUMBERS[:500])}
    assert forth == back
    assert {to: one(to) for to in NUMBERS[:500]} != forth
    assert {to: RandomCallees(8)(to) for to in NUMBERS[:500]} != forth
    assert one.dialled[NUMBERS[0]] == 2


def test_what_a_number_is_it_stays() -> None:
    """No number and no fax becomes a person later, nor the other way round."""
    callees = RandomCallees(7)
    lasting = {"fax", "not_found", "invalid", "unreachable"}
    for to in NUMBERS[:1000]:
        kinds = {callees.kind(to, nth) for nth in range(1, 6)}
        assert len(kinds) == 1 or not kinds & lasting


def test_every_kind_is_met_as_often_as_the_mix_says() -> None:
    """Counted over ten thousand numbers with seed 7, so that it cannot flicker."""
    mix = CalleeMix()
    callees = RandomCallees(7, mix)
    met = Counter(str(callees.kind(to, 1)) for to in NUMBERS)
    for kind, weight in dataclasses.asdict(mix).items():
        assert met[kind] / len(NUMBERS) == pytest.approx(weight / 100, rel=0.3), kind


def test_mix_may_have_one_kind_alone() -> None:
    """Each kind behaves as it is told in the mix."""
    nothing = dict.fromkeys((field.name for field in dataclasses.fields(CalleeMix)), 0.0)
    told = {}
    for kind in nothing:
        callees = RandomCallees(7, CalleeMix(**nothing | {kind: 1.0}))
        assert {callees.kind(to, 1) for to in NUMBERS[:50]} == {kind}
        found = callees(NUMBERS[0])
        told[kind] = (found.outcome, found.sip_code, found.error_code or found.refusal)
    assert told == {
        "human": ("answer", None, 0),
        "voicemail": ("answer", None, 0),
        "unknown": ("answer", None, 0),
        "no_answer": ("no-answer", None, 0),
        "busy": ("busy", None, 0),
        "unavailable": ("failed", 503, 0),
        "declined": ("failed", 603, 0),
        "blocked": ("failed", 608, 32017),
        "fax": ("answer", None, 0),
        "not_found": ("failed", 404, 0),
        "invalid": ("answer", None, 21211),
        "unreachable": ("answer", None, 21214),
    }
    with pytest.raises(ValueError, match=r"one above 0"):
        CalleeMix(**nothing)


def test_all_endings_of_greetings_are_met() -> None:
    """Mostly a beep, sometimes silence or neither."""
    callees = RandomCallees(7, CalleeMix(*([0.0] + [1.0] + [0.0] * 10)))
    found = [callees(to).voicemail for to in NUMBERS[:500]]
    endings = Counter(one.ending for one in found if one is not None)
    assert endings["beep"] > 350
    assert min(endings["silence"], endings["other"]) > 25
