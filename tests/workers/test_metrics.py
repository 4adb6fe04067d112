"""Records and events end up in the exposition."""

from __future__ import annotations

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    EndReason,
    ToolRecord,
    TurnRecord,
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


def test_processes_do_not_share_counters() -> None:
    """Each worker of a test has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.barge_ins.inc()
    assert "evercall_barge_ins_total 0.0" in second.render().decode()
