"""How a load test ended in a word, and what its numbers depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.workers.dashboard.loadtest_page.sample import (
    PROMISES,
    empty_result,
    sample_result,
    sample_verdicts,
)
from workers.dashboard.loadtest_page.head import facts, further, headline, standing
from workers.loadtest.measured import OwnSlip
from workers.loadtest.plan import Target
from workers.loadtest.result import Generator, Verdict
from workers.loadtest.sums import Sums, sums_of
from workers.loadtest.worker_figures import figures_of

RESULT = sample_result(12)
SLIPPED = OwnSlip(frames=1_000, p99_ms=40.0, worst_ms=90.0, late_share=0.2)


def test_a_broken_promise_is_named_with_its_figure() -> None:
    """What was promised stands beside what was found."""
    tone, word, detail = standing(RESULT, sample_verdicts(41.3))
    assert (tone, word) == ("bad", "Failed")
    assert "Added delay, p95: 41.3 ms, at most 30 ms was promised." in detail


@pytest.mark.parametrize(
    ("verdicts", "broken_off", "expected"),
    [
        (sample_verdicts()[:1], False, ("good", "Passed")),
        (sample_verdicts(), False, ("odd", "Not all measured")),
        (sample_verdicts(), True, ("odd", "Broken off")),
        (sample_verdicts(41.0), True, ("bad", "Failed, broken off")),
        ((Verdict(PROMISES[0], None, None),), False, ("odd", "Nothing measured")),
        ((), False, ("odd", "Nothing promised")),
    ],
)
def test_the_word_says_how_it_ended(
    verdicts: tuple[Verdict, ...], broken_off: bool, expected: tuple[str, str]
) -> None:
    """A test that was broken off has not passed, whatever held until then."""
    assert standing(replace(RESULT, broken_off=broken_off), verdicts)[:2] == expected


def test_promises_that_could_not_be_judged_are_counted() -> None:
    """A test has not passed in all that was promised where it measured a part of it."""
    kept = "6 of 7 promises were kept. 1 could not be judged: nothing was measured."
    assert standing(RESULT, sample_verdicts())[2] == kept
    assert standing(RESULT, sample_verdicts()[:1])[2] == "Every promise was kept."
    detail = standing(empty_result(), ())[2]
    assert detail.startswith("Somebody broke it off before anybody called;")


def test_pacing_that_slipped_outweighs_every_verdict() -> None:
    """It says by how much."""
    tone, word, detail = standing(replace(RESULT, slip=SLIPPED), sample_verdicts())
    assert (tone, word) == ("bad", "Not reported")
    assert "90 ms" in detail


def test_callers_that_shared_a_test_are_named() -> None:
    """With one of them lost it is not valid, and says why; its pace may slip by itself."""
    names = ("callers 1 of 2 on host-a", "callers 2 of 2 on host-b", "the simulated model")
    both = tuple(Generator(name, RESULT.machine, 6, RESULT.slip) for name in names[:2])
    made = replace(RESULT, generators=(*both, Generator(names[2], RESULT.machine, 0, RESULT.slip)))
    assert dict(facts(made))["Made by"] == (
        "callers 1 of 2 on host-a, 6 calls; callers 2 of 2 on host-b, 6 calls"
    )
    assert standing(made, sample_verdicts()[:1])[1] == "Passed"
    gone = replace(made, generators=(both[0], replace(both[1], lost="Callers 2 are gone.")))
    tone, word, detail = standing(gone, sample_verdicts())
    assert (tone, word) == ("bad", "Not valid")
    assert detail.startswith("Callers 2 are gone.")
    late = replace(made, generators=(both[0], replace(both[1], slip=SLIPPED)))
    assert "callers 2 of 2 on host-b slipped" in standing(late, sample_verdicts())[2]


def test_a_target_is_named_without_what_is_secret_in_its_address() -> None:
    """A page is handed on."""
    target = Target(voice_url="https://user:word@agents.example.org/voice?token=abc#x")
    found = dict(facts(replace(RESULT, plan=replace(RESULT.plan, target=target))))
    assert found["Target"] == "https://agents.example.org/voice"
    assert "Callers’ machine" in found
    assert dict(facts(RESULT))["Worker"] == "its own, 1 process"


def test_no_telephone_number_is_told() -> None:
    """Not even the one that is called."""
    assert not any(RESULT.plan.target.to in value for _, value in facts(RESULT))


def test_what_was_not_measured_is_a_dash() -> None:
    """Six tiles whatever there is."""
    tiles = headline(empty_result(), Sums())
    assert [figure.value for figure in tiles] == ["0", "none", "–", "–", "none", "–"]
    values = {figure.label: figure.value for figure in further(empty_result(), Sums())}
    assert values["Caller’s frames lost"] == "–"
    assert values["Loudness of the agent"] == "–"


def test_numbers_of_the_worker_are_told() -> None:
    """CPU per second of call, memory per call, the worst loop lag."""
    sums = sums_of(RESULT.calls, figures_of(RESULT.samples))
    cpu = headline(RESULT, sums)[-1]
    assert cpu.value.endswith(" ms")
    assert "would fill a core" in cpu.note
    values = {figure.label: figure.value for figure in further(RESULT, sums)}
    assert values["Memory per further call"].endswith(" MiB")
    assert values["Worker’s event loop late by"].endswith(" ms")
