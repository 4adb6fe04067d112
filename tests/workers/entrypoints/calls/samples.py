"""Calls and workers for the commands that look at them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agent.checkpoint import SessionCheckpoint
from tests.fakes.shared_call import FIRST, shared_record
from workers.store.calls import CallRow, RecalledCall, WorkerRow

CALL = "CA" + "fedcba9876543210" * 2
OTHER = "CA" + "0123456789abcdef" * 2
NOW = datetime(2026, 11, 27, 9, 14, tzinfo=UTC)


def call_row(
    call_sid: str = CALL,
    *,
    owner: str = FIRST,
    state: str = "in_progress",
    status: str = "in-progress",
    streams: int = 1,
    fence: int = 1,
    lost_at: tuple[float, ...] = (),
) -> CallRow:
    return CallRow(
        call_sid,
        "AC1",
        "inbound",
        "+15550100001",
        "+15550100002",
        state,
        status,
        owner=owner,
        fence=fence,
        streams=streams,
        lost_at=lost_at,
    )


def worker_row(
    worker: str = FIRST, *, beats: int = 1, draining: bool = False, calls: int = 1
) -> WorkerRow:
    host, pid, _ = worker.split(":")
    return WorkerRow(worker, beats, draining, calls, host, int(pid), NOW - timedelta(hours=2))


def recalled(*, live: bool = True, checkpoint: SessionCheckpoint | None = None) -> RecalledCall:
    """A call at its third stream, 80 s after it was answered."""
    record = shared_record()
    row = call_row(streams=3, fence=4, lost_at=(NOW.timestamp() - 60,))
    if live:
        record.streams[2].end_reason = record.streams[2].ended_s = record.ended_s = None
        record.end_reason = None
    else:
        row = call_row(owner="", state="finished", status="completed", streams=3, fence=4)
    return RecalledCall(row, record, checkpoint, NOW - timedelta(seconds=3))
