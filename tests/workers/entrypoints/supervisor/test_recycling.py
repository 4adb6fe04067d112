"""When a process asks to be replaced."""

from __future__ import annotations

import asyncio

import pytest

from workers.entrypoints.supervisor.events import Reason
from workers.entrypoints.supervisor.recycling import RecycleLimits, resident_mb, watch_limits


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (RecycleLimits(), None),
        (RecycleLimits(calls=11), None),
        (RecycleLimits(calls=10), Reason.CALLS),
        (RecycleLimits(memory_mb=200), None),
        (RecycleLimits(memory_mb=199), Reason.MEMORY),
        (RecycleLimits(calls=11, memory_mb=199), Reason.MEMORY),
    ],
)
def test_limits(limits: RecycleLimits, reason: Reason | None) -> None:
    """Either is enough; unset is none."""
    assert limits.passed(calls=10, memory_mb=200.0) is reason


def test_unknown_memory_passes_no_limit() -> None:
    """Not every system tells."""
    assert RecycleLimits(memory_mb=1).passed(calls=0, memory_mb=None) is None


def test_memory_of_this_process_is_measured() -> None:
    """An interpreter with its libraries has some dozens of megabytes; what is taken is seen."""
    before = resident_mb()
    if before is None:
        pytest.skip("no /proc/self/statm here")
    taken = bytearray(b"x") * (50 * 1024 * 1024)
    after = resident_mb()
    assert after is not None
    assert 10 < before < after - 40
    assert len(taken) > 0


async def told(limits: RecycleLimits, memory_mb: list[float]) -> list[Reason]:
    """What is told while memory goes through these values, the first being that of the start."""
    reasons: list[Reason] = []
    left = list(memory_mb)
    all_seen = asyncio.Event()

    def memory() -> float:
        if len(left) == 1:
            all_seen.set()
            return left[0]
        return left.pop(0)

    watching = asyncio.create_task(
        watch_limits(limits, reasons.append, calls=lambda: 0, memory_mb=memory, look_s=0.001)
    )
    async with asyncio.timeout(5):
        await all_seen.wait()
    watching.cancel()
    return reasons


async def test_wish_is_repeated() -> None:
    """The replacement may have failed; the parent knows a wish that it has heard before."""
    reasons = await told(RecycleLimits(memory_mb=100), [50, 90, 101, 102, 103, 50])
    assert len(reasons) >= 3
    assert set(reasons) == {Reason.MEMORY}


async def test_limit_below_the_start_is_let_go() -> None:
    """Or every replacement would want one at once, for ever."""
    assert await told(RecycleLimits(memory_mb=100), [101, 102, 103, 104, 105]) == []
