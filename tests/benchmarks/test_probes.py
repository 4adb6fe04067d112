from array import array

import pytest

from tests.benchmarks.probes import Ear
from tests.benchmarks.signals import LEVELS

_RATE_HZ = 8000


def _frame(*, silence: int, level: int) -> bytes:
    return array("h", [0] * silence + [level] * (160 - silence)).tobytes()


def test_delay_counts_to_the_marked_sample() -> None:
    """A step 2 ms into a frame that came 5 ms late is 7 ms late to the sample."""
    ear = Ear()
    ear.probe_sent(3, at=1.0)
    ear.heard(_frame(silence=160, level=0), _RATE_HZ, at=1.001)
    ear.heard(_frame(silence=16, level=LEVELS[3]), _RATE_HZ, at=1.005)
    ear.heard(_frame(silence=0, level=LEVELS[3]), _RATE_HZ, at=1.025)
    (delay,) = ear.delays
    assert (delay.frame_ms, delay.onset_ms) == pytest.approx((5, 7))


def test_another_probe_is_not_taken_for_this_one() -> None:
    """A step of another level counts as wrong, whatever its delay."""
    ear = Ear()
    ear.probe_sent(3, at=1.0)
    for late in (0.005, 0.025):
        ear.heard(_frame(silence=0, level=LEVELS[5]), _RATE_HZ, at=1 + late)
    assert (ear.delays, ear.wrong) == ([], 1)


def test_probe_that_never_comes_is_counted() -> None:
    """A probe still missing when the next one leaves counts as wrong."""
    ear = Ear()
    ear.probe_sent(0, at=1.0)
    ear.probe_sent(4, at=2.0)
    assert (ear.delays, ear.wrong, ear.sent) == ([], 1, 2)
