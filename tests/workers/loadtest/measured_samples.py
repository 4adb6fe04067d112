"""Calls as they are measured, few by hand and any by Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from workers.loadtest.measured import (
    Answered,
    BargedIn,
    CallMeasured,
    Ending,
    FramesCounted,
    Gap,
    OwnSlip,
    WorkerSample,
)
from workers.loadtest.plan import LineTrouble, Persona, Plan
from workers.loadtest.result import LoadResult, Machine

# Sums of whole numbers are the same in any order.
_whole = st.integers(0, 5_000).map(float)
_frames = st.builds(FramesCounted, st.integers(0, 3000), st.integers(0, 9), st.integers(0, 9))


def call(number: int = 1, **changes: object) -> CallMeasured:
    given: dict[str, object] = {
        "number": number,
        "sid": f"CA{number}",
        "persona": Persona.TALK,
        "lines": (),
        "began_s": 1.0,
        "calls_at_once": 1,
        "ending": Ending.COMPLETED,
        "loudness_dbfs": -20.0,
    }
    return CallMeasured(**(given | changes))  # type: ignore[arg-type]


def answered(*delays_ms: float, model_ms: float | None = 600.0) -> tuple[Answered, ...]:
    """Answers with these added delays."""
    return tuple(
        Answered(float(index), ms + (model_ms or 0.0), model_ms)
        for index, ms in enumerate(delays_ms)
    )


calls = st.builds(
    CallMeasured,
    number=st.integers(1, 9),
    sid=st.text("CA0123456789", max_size=4),
    persona=st.sampled_from(Persona),
    lines=st.lists(st.sampled_from(LineTrouble), max_size=2).map(tuple),
    began_s=_whole,
    calls_at_once=st.integers(1, 9),
    ending=st.sampled_from(Ending),
    reason=st.text(max_size=5),
    answered_s=st.none() | _whole,
    duration_s=_whole,
    first_word_ms=st.none() | _whole,
    answers=st.lists(st.builds(Answered, _whole, _whole, st.none() | _whole), max_size=4).map(
        tuple
    ),
    unanswered=st.integers(0, 3),
    barge_ins=st.lists(st.builds(BargedIn, _whole, _whole), max_size=2).map(tuple),
    gaps=st.lists(st.builds(Gap, _whole, _whole), max_size=2).map(tuple),
    reset_gaps_ms=st.lists(_whole, max_size=2).map(tuple),
    caller_frames=_frames,
    agent_frames=_frames,
    loudness_dbfs=st.none() | st.integers(-60, 0).map(float),
    late_frames=st.integers(0, 9),
    caller_spoke=st.lists(st.tuples(_whole, _whole), max_size=2).map(tuple),
)

samples = st.builds(
    WorkerSample,
    at_s=_whole,
    calls=st.integers(0, 50),
    cpu_s=_whole,
    memory_mib=_whole,
    loop_lag_ms=st.none() | _whole,
    queued=st.none() | st.integers(0, 9),
    open_files=st.none() | st.integers(0, 99),
)


def result(
    *measured: CallMeasured, plan: Plan | None = None, processor: str = "Any", **changes: object
) -> LoadResult:
    given: dict[str, object] = {
        "plan": plan or Plan(),
        "began_at": datetime(2026, 11, 27, 12, 0, tzinfo=UTC),
        "took_s": 60.0,
        "machine": Machine(processor, 2, "3.11.9", "0.1.0"),
        "calls": measured,
        "samples": (WorkerSample(0.0, 0, 1.0, 100.0), WorkerSample(10.0, 10, 2.0, 120.0)),
        "slip": OwnSlip(1000, 0.4, 2.0, 0.0),
    }
    return LoadResult(**(given | changes))  # type: ignore[arg-type]
