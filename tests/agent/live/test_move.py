"""One move: the gap the caller could hear, its filler, its budget and its report."""

from __future__ import annotations

import pytest

from agent.conversation.record import MoveCause, MoveKind, MoveMoment
from agent.live.move import FILLER_AFTER_S, VOICE_WAIT_S, Move
from agent.live.replay import CallerTape
from agent.live.resumption import Departure

LOST = Departure(MoveCause.LOST, 100.0, 100.0, detail="code 1011")


def move(*, cut_off: bool = False, tape: CallerTape | None = None, waited_s: float = 0.0) -> Move:
    return Move(
        LOST,
        MoveMoment.ABRUPT,
        now=100.0,
        outage_s=100.0,
        budget_s=20.0,
        cut_off=cut_off,
        tape=tape or CallerTape(),
        waited_s=waited_s,
    )


def gap_ms(found: Move, now: float) -> float:
    return found.report(now, model="m", origin_s=0.0).gap_ms


def test_gap_counts_only_while_the_caller_waits() -> None:
    """Silence in which nothing is owed is no gap; nor is what the caller says meanwhile."""
    found = move()
    found.observe(100.0, waits=True)
    found.observe(100.4, waits=True)
    found.observe(100.5, waits=False)
    found.observe(103.0, waits=True)
    found.observe(103.2, waits=False)
    assert gap_ms(found, 110.0) == pytest.approx(700)


def test_gap_goes_on_until_the_report() -> None:
    """A caller who still waits has waited until now."""
    found = move()
    found.observe(101.0, waits=True)
    assert gap_ms(found, 103.5) == pytest.approx(2_500)


def test_wait_before_the_connection_was_given_up_counts() -> None:
    """A model that was silent for ten seconds has made a gap of ten seconds."""
    found = move(waited_s=10.0)
    found.observe(100.0, waits=True)
    found.observe(100.5, waits=False)
    assert gap_ms(found, 101.0) == pytest.approx(10_500)
    assert not found.filler_due(101.0)


def test_filler_is_due_once_however_long_the_gap() -> None:
    """After a second and a half of silence without a reason; never again in this move."""
    found = move()
    found.observe(100.0, waits=True)
    assert found.deadline == 100.0 + FILLER_AFTER_S
    assert not found.filler_due(101.4)
    assert found.filler_due(101.5)
    assert not found.filler_due(110.0)
    assert found.deadline == 120.0
    found.observe(111.0, waits=False)
    found.observe(112.0, waits=True)
    assert not found.filler_due(119.0)


def test_filler_counts_silence_without_a_break() -> None:
    """Two short silences are no long one."""
    found = move()
    found.observe(100.0, waits=True)
    found.observe(101.0, waits=False)
    found.observe(101.2, waits=True)
    assert not found.filler_due(101.6)
    assert found.filler_due(101.2 + FILLER_AFTER_S)


def test_budget_is_spent_only_while_there_is_no_connection() -> None:
    """From the beginning of the trouble, which may have begun in an earlier move."""
    found = move()
    assert not found.is_spent(119.9)
    assert found.is_spent(120.0)
    found.opened(MoveKind.RESUME, 119.0)
    assert not found.is_spent(130.0)
    found.lost_again()
    assert found.is_spent(130.0)


def test_move_is_done_when_all_that_was_held_was_sent() -> None:
    """The time of that is when it was done, whatever is waited for afterwards."""
    found = move()
    assert not found.is_done(101.0)
    found.opened(MoveKind.RESUME, 101.0)
    assert not found.is_done(101.0)
    found.caught_up(101.2)
    found.caught_up(105.0)
    assert found.is_done(101.2)
    assert found.report(106.0, model="m", origin_s=90.0).done_s == pytest.approx(11.2)


def test_cut_off_answer_is_waited_for_and_not_for_ever() -> None:
    """The gap is over when the voice is back; a model that stays silent is the watchdog's."""
    found = move(cut_off=True)
    found.opened(MoveKind.RESUME, 101.0)
    found.caught_up(101.0)
    assert not found.is_done(101.0 + VOICE_WAIT_S - 0.1)
    assert found.deadline == 101.0 + VOICE_WAIT_S
    assert found.is_done(101.0 + VOICE_WAIT_S)
    found.voice_back = True
    assert found.is_done(101.1)


def test_connection_lost_again_begins_anew() -> None:
    """What the one before had reached does not count for the next."""
    found = move(cut_off=True)
    found.opened(MoveKind.RESUME, 101.0)
    found.voice_back = True
    found.lost_again()
    assert found.kind is None
    found.opened(MoveKind.REFILL, 103.0)
    found.caught_up(103.0)
    assert not found.is_done(103.0)


def test_report_counts_what_was_held_replayed_and_lost_since_it_was_left() -> None:
    """Earlier moves have reports of their own."""
    tape = CallerTape()
    tape.held = False
    tape.add(bytes(320_000))
    tape.take(1e9)
    tape.rewind(in_flight_ms=10_000)
    tape.take(1e9)
    tape.lost_ms = 77.0
    found = move(tape=tape)
    tape.rewind(in_flight_ms=10_000)
    tape.add(bytes(64_000))
    found.tries = 3
    found.opened(MoveKind.REFILL, 102.0)
    found.caught_up(102.5)
    tape.lost_ms += 5.0
    tape.add(bytes(64_000))
    report = found.report(110.0, model="m", origin_s=90.0)
    assert (report.held_ms, report.replayed_ms, report.lost_ms) == (2_000, 10_000, 5.0)
    assert (report.wanted_s, report.left_s, report.done_s) == (10.0, 10.0, 12.5)
    assert (report.cause, report.moment, report.kind) == (
        MoveCause.LOST,
        MoveMoment.ABRUPT,
        MoveKind.REFILL,
    )
    assert (report.tries, report.model, report.detail) == (3, "m", "code 1011")


def test_report_of_a_move_that_led_nowhere() -> None:
    """No kind, and what was held until now."""
    tape = CallerTape()
    found = move(tape=tape)
    tape.add(bytes(64_000))
    report = found.report(120.0, model="m", origin_s=90.0)
    assert (report.kind, report.held_ms, report.done_s) == (None, 2_000, 30.0)
