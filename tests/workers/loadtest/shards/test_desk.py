"""What the leader alone has comes to whoever measures, whole and once."""

from __future__ import annotations

import pytest

from tests.workers.loadtest.bridged import session_log
from workers.loadtest.errors import LoadTestError
from workers.loadtest.shards.desk import AtDesk, desk
from workers.twin.live_api.session_log import SessionLog


class Kept:
    """A Live side with one connection of each call."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def take(self, number: int) -> list[SessionLog]:
        self.taken.append(number)
        log = session_log(number)
        log.audio(bytes(32_000) * 60, 16_000, 1.0)
        return [log]


async def gaps(call_sid: str) -> tuple[float, ...]:
    return (12.5, 3.0) if call_sid == "CA1" else ()


async def test_connections_and_gaps_are_asked_for() -> None:
    """Megabytes of sound, and the worker's own reports."""
    kept = Kept()
    async with desk(kept, gaps) as path:
        asking = AtDesk(path)
        [log] = await asking.take(7)
        assert await asking.reset_gaps_ms("CA1") == (12.5, 3.0)
        assert await asking.reset_gaps_ms("CA2") == ()
    assert kept.taken == [7]
    assert "+15550000007" in log.system_instruction
    assert len(log.caller_audio) == 1_920_000
    assert list(log.arrivals) == [1.0]


async def test_service_keeps_nothing_here() -> None:
    """There are no connections to be had, and no error."""
    async with desk(None, gaps) as path:
        assert await AtDesk(path).take(1) == []


async def test_leader_that_is_gone_is_told() -> None:
    """Nobody waits for it."""
    async with desk(None, gaps) as path:
        pass
    with pytest.raises(LoadTestError, match="does not answer any more"):
        await AtDesk(path).take(1)
