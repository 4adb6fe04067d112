"""How far a bot is said to come, by windows that were made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.benchmarks.front_page import climb
from tests.benchmarks.rig import NotMeasured, Overloaded


def _window(up_ms: float, down_ms: float) -> Mapping[str, Any]:
    return {"up": {"frame_ms": {"p95": up_ms}}, "down": {"frame_ms": {"p95": down_ms}}}


def test_the_last_number_before_audio_is_missing_counts() -> None:
    """And which was too many, with why."""

    def measure(calls: int) -> Mapping[str, Any]:
        if calls > 25:
            raise Overloaded("only 80% of the audio came out at the other end")
        return _window(1.0, 2.0)

    climbed = climb(measure)
    assert (climbed.most, climbed.most_promptly, climbed.of_the_bot) == (25, 25, True)
    assert climbed.end == "30 calls: only 80% of the audio came out at the other end"


@pytest.mark.parametrize("way", [0, 1])
def test_promptness_ends_with_the_first_number_that_was_late(way: int) -> None:
    """Either way counts, and a better window further up does not bring it back."""

    def measure(calls: int) -> Mapping[str, Any]:
        late_ms = 10.5 if calls == 20 else 10.0
        return _window(*((late_ms, 1.0) if way == 0 else (1.0, late_ms)))

    assert climb(measure).most_promptly == 15


def test_far_ends_that_are_late_say_nothing_of_the_bot() -> None:
    """Then it carries so many, or more."""

    def measure(calls: int) -> Mapping[str, Any]:
        if calls > 60:
            raise NotMeasured("the far end's own timer was 7.0 ms late (p95)")
        return _window(1.0, 2.0)

    climbed = climb(measure)
    assert (climbed.most, climbed.of_the_bot) == (60, False)


def test_not_even_the_fewest() -> None:
    """Nothing was carried: there is no table."""

    def measure(_calls: int) -> Mapping[str, Any]:
        raise Overloaded("only 3% of the audio came out at the other end")

    climbed = climb(measure)
    assert (climbed.most, climbed.most_promptly, climbed.steps) == (0, 0, ())
