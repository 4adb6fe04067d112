"""What is to be done about a call that nobody serves, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.workers.fleet.fleet_store import call_row, stored
from workers.fleet.sweep import (
    ASK_AGAIN_S,
    AT_ONCE,
    DOUBT_S,
    GIVE_UP_S,
    Act,
    Answer,
    Outcome,
    Step,
    Sweep,
)
from workers.store.calls import CallRow

DEAD = frozenset({"dead"})
TAKEN = call_row(owner="", fence=2)


def found(*rows: CallRow, now: float = 0.0) -> Sweep:
    sweep = Sweep()
    sweep.asking()
    sweep.found([stored(row) for row in rows], DEAD, now)
    return sweep


def only(sweep: Sweep, now: float) -> Step:
    (step,) = sweep.steps(now)
    return step


def next_at(sweep: Sweep, now: float, *, within_s: float = 3600.0) -> tuple[float, Step]:
    """The next step, and when it is due."""
    for tenths in range(int(within_s * 10)):
        if steps := sweep.steps(now + tenths / 10):
            return now + tenths / 10, steps[0]
    raise AssertionError("nothing is due")


def taken(now: float = 0.0) -> Sweep:
    """A call that is ours, and about to be steered."""
    sweep = found(call_row(), now=now)
    assert only(sweep, now).act is Act.TAKE
    sweep.done("CA1", Answer.DONE, now, row=TAKEN)
    return sweep


def test_call_of_a_dead_worker_is_taken_then_steered() -> None:
    """Under the number that it has since; then it is done with."""
    sweep = taken()
    step = only(sweep, 0.0)
    assert (step.act, step.call.row) == (Act.STEER, TAKEN)
    assert sweep.done("CA1", Answer.DONE, 0.3) is Outcome.STEERED
    assert len(sweep) == 0


@pytest.mark.parametrize("state", ["transfer", "finished", "apology", "handed_over"])
def test_call_that_a_dead_worker_had_decided_about_is_steered_too(state: str) -> None:
    """Its stream is still open there: nobody has told Twilio yet."""
    sweep = found(call_row(state=state))
    assert only(sweep, 0.0).act is Act.TAKE


def test_call_that_another_one_took_is_left_to_it() -> None:
    """Of several that sweep one has it."""
    sweep = found(call_row())
    only(sweep, 0.0)
    assert sweep.done("CA1", Answer.GONE, 0.0) is None
    assert sweep.steps(1e6) == []


def test_taking_without_an_answer_is_tried_again_as_such() -> None:
    """It may have been done; whoever carries it out must look."""
    sweep = found(call_row())
    assert not only(sweep, 0.0).again
    sweep.done("CA1", Answer.FAILED, 0.0)
    at, step = next_at(sweep, 0.0)
    assert (at, step.act, step.again) == (1.0, Act.TAKE, True)


def test_steering_that_failed_is_repeated_only_after_a_look() -> None:
    """Another worker may have gone on with the call: a redirect would tear its stream down."""
    sweep = taken()
    only(sweep, 0.0)
    assert sweep.done("CA1", Answer.FAILED, 0.0) is None
    at, step = next_at(sweep, 0.0)
    assert (at, step.act) == (1.0, Act.LOOK)
    sweep.done("CA1", Answer.DONE, at)
    assert only(sweep, at).act is Act.STEER


def test_call_that_goes_on_meanwhile_is_not_steered() -> None:
    """Twilio had asked by itself."""
    sweep = taken()
    only(sweep, 0.0)
    sweep.done("CA1", Answer.FAILED, 0.0)
    next_at(sweep, 0.0)
    assert sweep.done("CA1", Answer.GONE, 1.0) is Outcome.CAME_BACK
    assert sweep.steps(1e6) == []


def test_doubt_waits_for_the_stream_it_may_have_led_to() -> None:
    """It is claimed a second or two later."""
    sweep = taken()
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DOUBT, 0.0)
    assert next_at(sweep, 0.0)[0] == DOUBT_S


def test_retries_back_off_and_end_as_lost() -> None:
    """After 1, 2, 4 … 30 s, for some minutes."""
    sweep = taken()
    now, tries = 0.0, []
    for _ in range(100):
        now, step = next_at(sweep, now)
        if step.act is Act.FINALISE:
            assert step.lost
            break
        if step.act is Act.STEER:
            tries.append(now)
            sweep.done("CA1", Answer.FAILED, now)
        else:
            sweep.done("CA1", Answer.DONE, now)
    assert tries[:7] == [0, 1, 3, 7, 15, 31, 61]
    assert GIVE_UP_S <= tries[-1] <= GIVE_UP_S + 31
    assert sweep.done("CA1", Answer.DONE, now) is Outcome.LOST
    assert len(sweep) == 0


def test_call_that_is_over_has_its_books_closed() -> None:
    """Under our number, and again where that failed."""
    sweep = taken()
    only(sweep, 0.0)
    sweep.done("CA1", Answer.OVER, 0.0)
    step = only(sweep, 0.0)
    assert (step.act, step.call.row.fence, step.lost) == (Act.FINALISE, 2, False)
    assert sweep.done("CA1", Answer.FAILED, 0.0) is None
    at, step = next_at(sweep, 0.0)
    assert (at, step.act) == (1.0, Act.FINALISE)
    assert sweep.done("CA1", Answer.DONE, at) is Outcome.OVER


def idle(state: str = "in_progress", fence: int = 2) -> CallRow:
    return call_row(owner="", fence=fence, state=state)


def test_call_that_nobody_serves_is_asked_after() -> None:
    """Over: its books are closed."""
    sweep = found(idle())
    assert only(sweep, 0.0).act is Act.ASK
    sweep.done("CA1", Answer.OVER, 0.0)
    assert only(sweep, 0.0).act is Act.FINALISE


def look_again(sweep: Sweep, row: CallRow, now: float) -> None:
    sweep.asking()
    sweep.found([stored(row)], DEAD, now)


@pytest.mark.parametrize("state", ["in_progress", "handed_over", "finished"])
def test_call_that_goes_on_in_silence_is_steered_once(state: str) -> None:
    """For each number: if that does not help, doing it again does not."""
    sweep = found(idle(state))
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DONE, 0.0)
    assert only(sweep, 0.0).act is Act.STEER
    assert sweep.done("CA1", Answer.DONE, 0.0) is Outcome.STEERED
    look_again(sweep, idle(state), 60.0)
    assert only(sweep, 60.0).act is Act.ASK
    sweep.done("CA1", Answer.DONE, 60.0)
    assert sweep.steps(60.0) == []
    sweep = _with_new_number(sweep, idle(state, fence=3), 500.0)
    assert only(sweep, 500.0).act is Act.STEER


def _with_new_number(sweep: Sweep, row: CallRow, now: float) -> Sweep:
    look_again(sweep, row, now)
    only(sweep, now)
    sweep.done("CA1", Answer.DONE, now)
    return sweep


def test_call_in_a_transfer_is_left_to_it() -> None:
    """It goes on without any worker; it is asked after less and less often."""
    sweep = found(idle("transfer"))
    now, asked = 0.0, []
    for _ in range(6):
        now, step = next_at(sweep, now)
        assert step.act is Act.ASK
        asked.append(now)
        sweep.done("CA1", Answer.DONE, now)
    assert asked[1] == ASK_AGAIN_S[0]
    assert asked[-1] - asked[-2] == ASK_AGAIN_S[-1]


def test_call_that_has_an_owner_is_taken_before_it_is_steered() -> None:
    """Whoever that is, what it may still write must not count."""
    sweep = found(replace(idle(), owner="unheard of"))
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DONE, 0.0)
    assert only(sweep, 0.0).act is Act.TAKE


def test_call_that_rings_is_neither_steered_nor_closed() -> None:
    """It cannot be redirected yet, and is not over."""
    sweep = found(idle("ringing"))
    only(sweep, 0.0)
    assert sweep.done("CA1", Answer.GONE, 0.0) is None
    assert next_at(sweep, 0.0)[1].act is Act.ASK


def test_call_that_is_served_again_is_not_asked_after_any_more() -> None:
    """It is not among those that nobody serves."""
    sweep = found(idle("transfer"))
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DONE, 0.0)
    sweep.asking()
    sweep.found([], DEAD, 1.0)
    assert len(sweep) == 0


def test_call_that_lost_another_worker_is_taken_from_that_one() -> None:
    """While it was being asked after, a worker went on with it and died."""
    sweep = found(idle("transfer"))
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DONE, 0.0)
    look_again(sweep, call_row(fence=3), 1.0)
    assert only(sweep, 1.0).act is Act.TAKE


def test_answer_older_than_the_end_changes_nothing() -> None:
    """The store was asked before the call was steered, and answers after it."""
    sweep = taken()
    sweep.asking()
    only(sweep, 0.0)
    sweep.done("CA1", Answer.DONE, 0.0)
    sweep.found([stored(call_row())], DEAD, 0.1)
    assert sweep.steps(0.1) == []


def test_call_under_care_is_not_begun_twice() -> None:
    """Whatever step it waits for, or is in."""
    sweep = found(call_row())
    look_again(sweep, call_row(), 0.0)
    assert only(sweep, 0.0).act is Act.TAKE
    look_again(sweep, call_row(), 0.0)
    assert sweep.steps(0.0) == []
    sweep.done("CA1", Answer.DONE, 0.0, row=TAKEN)
    only(sweep, 0.0)
    sweep.done("CA1", Answer.FAILED, 0.0)
    look_again(sweep, TAKEN, 0.0)
    assert next_at(sweep, 0.0)[1].act is Act.LOOK


@pytest.mark.parametrize("failed", [False, True])
def test_old_answer_does_not_take_again_what_is_ours(failed: bool) -> None:
    """The store was asked before the call was taken: there it still is the dead worker's."""
    sweep = taken()
    only(sweep, 0.0)
    if failed:
        sweep.done("CA1", Answer.FAILED, 0.0)
    look_again(sweep, call_row(), 0.0)
    if failed:
        assert next_at(sweep, 0.0)[1].act is Act.LOOK
    else:
        assert sweep.steps(0.0) == []
        assert sweep.done("CA1", Answer.DONE, 0.0) is Outcome.STEERED


def test_running_step_is_not_begun_again_for_a_newer_answer() -> None:
    """A call that came back and lost its next worker meanwhile waits for the step's end."""
    sweep = taken()
    only(sweep, 0.0)
    look_again(sweep, call_row(fence=3), 0.0)
    assert sweep.steps(0.0) == []
    assert sweep.done("CA1", Answer.DONE, 0.0) is Outcome.STEERED
    look_again(sweep, call_row(fence=3), 1.0)
    assert only(sweep, 1.0).act is Act.TAKE


def test_trouble_with_taking_does_not_slow_down_steering() -> None:
    """Each has its own back-off."""
    sweep = found(call_row())
    now = 0.0
    for _ in range(3):
        now, _step = next_at(sweep, now)
        sweep.done("CA1", Answer.FAILED, now)
    now, _step = next_at(sweep, now)
    sweep.done("CA1", Answer.DONE, now, row=TAKEN)
    only(sweep, now)
    sweep.done("CA1", Answer.FAILED, now)
    assert next_at(sweep, now)[0] == now + 1.0


def test_few_at_once_and_silent_callers_first() -> None:
    """Twilio bounds the requests under way; a transfer's caller is not waiting."""
    rows = [replace(idle("transfer"), call_sid=f"CB{number}") for number in range(20)]
    rows += [call_row(f"CA{number}") for number in range(7)]
    sweep = found(*rows)
    steps = sweep.steps(0.0)
    assert len(steps) == AT_ONCE
    assert {step.act for step in steps} == {Act.TAKE}
    assert sweep.steps(0.0) == []
    sweep.done(steps[0].call.row.call_sid, Answer.GONE, 0.0)
    assert len(sweep.steps(0.0)) == 1


def test_dead_workers_without_calls_are_told() -> None:
    """They may be forgotten; not where more calls may be theirs than could be listed."""
    sweep = Sweep()
    dead = {"dead", "empty"}
    assert sweep.found([stored(call_row())], dead, 0.0) == {"empty"}
    assert sweep.found([stored(call_row())], dead, 0.0, all_=False) == frozenset()


def test_who_leaves_steers_what_was_taken_and_takes_nothing_more() -> None:
    """The rest is left to the others as it is."""
    sweep = found(call_row("CA1"), call_row("CA2"), replace(idle(), call_sid="CA3"))
    steps = sweep.steps(0.0)
    assert len(steps) == 3
    sweep.leave()
    sweep.done("CA1", Answer.DONE, 0.0, row=TAKEN)
    sweep.done("CA2", Answer.FAILED, 0.0)
    sweep.done("CA3", Answer.GONE, 0.0)
    assert [(step.act, step.call.row.call_sid) for step in sweep.steps(1e6)] == [(Act.STEER, "CA1")]
    sweep.found([stored(call_row("CA9"))], DEAD, 1.0)
    assert len(sweep) == 1
