"""Records and events end up in the exposition."""

from __future__ import annotations

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    SummaryMade,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
    UsageRecord,
)
from workers.metrics import Metrics


def test_record_is_observed_without_naming_the_call() -> None:
    """Every number of a record is counted, and no label holds a call SID."""
    metrics = Metrics()
    metrics.stream_ended(EndReason.CALLER_HUNG_UP)
    metrics.call_ended(
        CallRecord(
            call_sid="CA-secret",
            agent="a",
            model="m",
            ended_s=42.0,
            turns=[TurnRecord("agent", "hi", "hi", 0, 1, answer_delay_s=0.7)],
            tools=[ToolRecord("1", "order_status", {}, 0, 1, "ok")],
            barge_ins=[BargeInRecord(1, 200)],
            usage=UsageRecord(total_tokens=500),
            counters={"media_gap_ms": 40, "nothing": 0},
        )
    )
    text = metrics.render().decode()
    for line in (
        'evercall_streams_ended_total{reason="caller_hung_up"} 1.0',
        "evercall_call_seconds_sum 42.0",
        'evercall_answer_delay_seconds_bucket{le="0.8"} 1.0',
        'evercall_tools_total{outcome="ok"} 1.0',
        "evercall_barge_ins_total 1.0",
        "evercall_tokens_total 500.0",
        'evercall_counted_total{name="media_gap_ms"} 40.0',
    ):
        assert line in text
    assert "CA-secret" not in text
    assert 'name="nothing"' not in text


def test_move_is_counted_when_it_is_done_and_only_then() -> None:
    """Cause, kind and moment are labels, durations are seconds; the call's end adds nothing."""
    metrics = Metrics()
    noticed = MoveRecord(
        MoveCause.LOST,
        MoveMoment.ABRUPT,
        MoveKind.REFILL,
        wanted_s=41.0,
        left_s=41.0,
        done_s=42.5,
        gap_ms=1500,
        held_ms=1480,
        lost_ms=20,
        tries=2,
        detail="closed with 1011",
    )
    seamless = MoveRecord(MoveCause.GO_AWAY, MoveMoment.SAFE_POINT, MoveKind.RESUME, 50, 52, 52.3)
    given_up = MoveRecord(MoveCause.LOST, MoveMoment.ABRUPT, None, 60, 60, 80, tries=9)
    for move in (noticed, seamless, given_up):
        metrics.move_done(move)
    metrics.call_ended(CallRecord("CA0", "a", "m", moves=[noticed, seamless, given_up]))
    text = metrics.render().decode()
    for line in (
        'evercall_moves_total{cause="lost",kind="refill",moment="abrupt"} 1.0',
        'evercall_moves_total{cause="go_away",kind="resume",moment="safe_point"} 1.0',
        'evercall_moves_total{cause="lost",kind="none",moment="abrupt"} 1.0',
        'evercall_move_gap_seconds_bucket{le="0.0"} 2.0',
        "evercall_move_gap_seconds_sum 1.5",
        "evercall_move_held_seconds_sum 1.48",
        'evercall_move_lost_seconds_bucket{le="0.0"} 2.0',
        "evercall_move_lost_seconds_sum 0.02",
        'evercall_move_tries_bucket{le="1.0"} 1.0',
        "evercall_move_tries_sum 12.0",
    ):
        assert line in text
    assert "closed with" not in text


def long_call() -> CallRecord:
    context = ContextRecord(
        window_tokens=131_072,
        tokens=9_000,
        most_tokens=20_500,
        samples=[ContextSample(1.0, 20_500, reported=True), ContextSample(9.0, 9_000, True)],
        cuts=[CutRecord(5.0, 20_500, 8_000)],
        summaries=[SummaryMade(4.0, 1.5, "ok", 6, "text-secret", 900)],
        updates=[
            UpdateRecord(2.0, "context", "context_update", 2.1),
            UpdateRecord(3.0, "context", "context_update", 3.1),
            UpdateRecord(6.0, "instruction", "next_move"),
        ],
    )
    return CallRecord("CA0", "a", "m", context=context)


def test_context_is_observed_when_the_call_ends() -> None:
    """The largest size, not the last; every cut and update, by kind and way."""
    metrics = Metrics()
    metrics.call_ended(long_call())
    text = metrics.render().decode()
    for line in (
        "evercall_context_tokens_sum 20500.0",
        'evercall_context_tokens_bucket{le="18000.0"} 0.0',
        'evercall_context_tokens_bucket{le="26500.0"} 1.0',
        "evercall_context_cuts_total 1.0",
        'evercall_context_updates_total{how="context_update",kind="context"} 2.0',
        'evercall_context_updates_total{how="next_move",kind="instruction"} 1.0',
    ):
        assert line in text


def test_a_call_without_samples_has_no_context() -> None:
    """A call that ended before the model said anything does not count as one of no tokens."""
    metrics = Metrics()
    metrics.call_ended(CallRecord("CA0", "a", "m"))
    assert "evercall_context_tokens_count 0.0" in metrics.render().decode()


def test_summary_is_counted_when_it_is_made_and_only_then() -> None:
    """By outcome and by whom; no model is named, and the call's end adds nothing."""
    metrics = Metrics()
    for made in (
        SummaryMade(4.0, 1.5, "ok", 6, "text-secret", 900),
        SummaryMade(9.0, 20.0, "timeout", 6, "text-secret", 0),
        SummaryMade(9.5, 0.25, "ok", 6, "extract"),
    ):
        metrics.summary_made(made)
    metrics.call_ended(long_call())
    text = metrics.render().decode()
    for line in (
        'evercall_summaries_total{by="model",outcome="ok"} 1.0',
        'evercall_summaries_total{by="model",outcome="timeout"} 1.0',
        'evercall_summaries_total{by="extract",outcome="ok"} 1.0',
        'evercall_summary_seconds_bucket{le="0.25"} 1.0',
        "evercall_summary_seconds_sum 21.75",
        "evercall_summary_tokens_total 900.0",
    ):
        assert line in text
    assert "text-secret" not in text


def test_takeovers_and_hand_overs_are_counted_by_how_they_went() -> None:
    """How long one took is observed only where it is known when Twilio asked."""
    metrics = Metrics()
    metrics.takeover_done("resume", 0.64)
    metrics.takeover_done("resume", -0.01)
    metrics.takeover_done("refill")
    metrics.takeover_done("fresh", 1.4)
    for forced in (False, False, True):
        metrics.handed_over(forced=forced)
    text = metrics.render().decode()
    for line in (
        'evercall_takeovers_total{kind="resume"} 2.0',
        'evercall_takeovers_total{kind="refill"} 1.0',
        'evercall_takeovers_total{kind="fresh"} 1.0',
        "evercall_takeover_seconds_count 3.0",
        "evercall_takeover_seconds_sum 2.04",
        'evercall_takeover_seconds_bucket{le="0.1"} 1.0',
        'evercall_takeover_seconds_bucket{le="1.5"} 3.0',
        'evercall_hand_overs_total{moment="safe_point"} 2.0',
        'evercall_hand_overs_total{moment="forced"} 1.0',
    ):
        assert line in text


def test_worker_that_is_gone_is_no_longer_counted() -> None:
    """Each look replaces the one before; a state that nobody is in shows as none, not as before."""
    metrics = Metrics()
    metrics.fleet_seen(["ready", "ready", "dead"])
    assert 'evercall_fleet_workers{state="ready"} 2.0' in metrics.render().decode()
    metrics.fleet_seen(["ready", "draining"])
    text = metrics.render().decode()
    for line in ('{state="ready"} 1.0', '{state="draining"} 1.0', '{state="dead"} 0.0'):
        assert f"evercall_fleet_workers{line}" in text


def test_what_keeps_calls_alive_is_exposed_before_it_happens() -> None:
    """An alert on a rate needs the series while nothing is wrong."""
    metrics = Metrics()
    text = metrics.render().decode()
    for name in (
        "calls_lost_to_others_total",
        "streams_lost_total",
        "checkpoints_written_total",
        "checkpoint_writes_refused",
        'takeovers_total{kind="fresh"}',
        'hand_overs_total{moment="forced"}',
        'fleet_workers{state="dead"}',
    ):
        assert f"evercall_{name} 0.0" in text
    metrics.fleet_steered.labels("steered").inc()
    metrics.prewarm.labels("hit").inc()
    text = metrics.render().decode()
    assert 'evercall_fleet_steered_total{outcome="steered"} 1.0' in text
    assert 'evercall_prewarm_total{outcome="hit"} 1.0' in text


def test_lag_of_a_loop_is_seen_where_playout_runs_dry() -> None:
    """A loop that is late by three frames is told from one that is late by five."""
    metrics = Metrics()
    metrics.loop_lag_s.observe(0.055)
    metrics.loop_lag_s.observe(0.095)
    text = metrics.render().decode()
    assert 'evercall_event_loop_lag_seconds_bucket{le="0.06"} 1.0' in text
    assert 'evercall_event_loop_lag_seconds_bucket{le="0.1"} 2.0' in text


def test_processes_do_not_share_counters() -> None:
    """Each worker of a test has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.barge_ins.inc()
    assert "evercall_barge_ins_total 0.0" in second.render().decode()
