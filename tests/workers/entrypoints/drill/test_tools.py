"""The slow tool keeps its own book, which no worker can embellish."""

from __future__ import annotations

import asyncio

import pytest

from workers.entrypoints.drill.tools import ToolRun, look_up, result_of, runs_of


async def test_every_run_is_noted() -> None:
    """By its key, whoever calls; keys of other drills do not mix."""
    await look_up("test-one:a", 0.0)
    await look_up("test-one:a", 0.0)
    await look_up("test-two:a", 0.0)
    assert runs_of("test-one:") == [ToolRun("test-one:a", finished=True)] * 2


async def test_result_can_be_followed() -> None:
    """It is the same whatever drill asked for it."""
    assert await look_up("test-three:a", 0.0) == {"found": "value-of-a"}
    assert result_of("test-three:a") == "value-of-a"


async def test_cancelled_run_is_not_finished() -> None:
    """Its result never came."""
    run = asyncio.create_task(look_up("test-four:a", 10.0))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert runs_of("test-four:") == [ToolRun("test-four:a", finished=False)]
