"""Which calls are shown one by one."""

from __future__ import annotations

from workers.loadtest.measured import Answered, CallMeasured, Ending, Gap
from workers.loadtest.plan import Persona
from workers.loadtest.slowest import slowest, slowness_ms


def call(number: int, *answers: Answered, gaps: tuple[Gap, ...] = ()) -> CallMeasured:
    return CallMeasured(
        number=number,
        sid=f"CA{number:032x}",
        persona=Persona.TALK,
        lines=(),
        began_s=0.0,
        calls_at_once=1,
        ending=Ending.COMPLETED,
        answers=answers,
        gaps=gaps,
    )


def test_what_the_model_took_makes_no_call_slow() -> None:
    """Where it cannot be told, the whole delay counts."""
    assert slowness_ms(call(1, Answered(1.0, 900.0, model_ms=880.0))) == 20.0
    assert slowness_ms(call(1, Answered(1.0, 900.0))) == 900.0


def test_a_gap_counts_like_a_wait() -> None:
    """Either is silence in which the caller expected a voice."""
    assert slowness_ms(call(1, Answered(1.0, 30.0), gaps=(Gap(2.0, 400.0),))) == 400.0


def test_the_slowest_come_first_and_the_earlier_of_equals() -> None:
    """Calls in which nobody waited are not among them."""
    calls = [call(1), call(2, Answered(1.0, 30.0)), call(3, Answered(1.0, 50.0))]
    calls.append(call(4, Answered(1.0, 30.0)))
    assert [one.number for one in slowest(calls)] == [3, 2, 4]
    assert [one.number for one in slowest(calls, 1)] == [3]
