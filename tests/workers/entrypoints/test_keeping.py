"""Parts that die come again, and stop in order; nothing of them outlives their keeper."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from workers.entrypoints.keeping import Keeper, Part, printer, wait_s
from workers.entrypoints.supervisor.core import EXIT_USAGE, LONGEST_WAIT_S

# Says its number; on SIGTERM that it leaves.
CHILD = """
import os, signal, sys, time
def leave(*_):
    print("leaving", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, {handler})
print("pid", os.getpid(), flush=True)
{then}
time.sleep(60)
"""


def child(name: str, *, handler: str = "leave", then: str = "", leave_s: float = 20.0) -> Part:
    text = CHILD.format(handler=handler, then=then)
    return Part(name, (sys.executable, "-c", text), leave_s=leave_s)


@dataclass
class Heard:
    """What the parts wrote, and a way to wait for it."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    pids: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        if line.startswith("pid "):
            self.pids[name].append(int(line.split()[1]))
        self.more.set()

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not there():
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def kept(parts: Sequence[Part]) -> AsyncIterator[tuple[Heard, Keeper, asyncio.Task[int]]]:
    heard = Heard()
    keeper = Keeper(parts, environment=dict(os.environ), show=heard.show)
    running = asyncio.create_task(keeper.run())
    try:
        yield heard, keeper, running
    finally:
        if not running.done():
            keeper.stop()
            keeper.stop()
            await running


async def test_a_part_that_is_killed_comes_again() -> None:
    """The other one is left alone."""
    async with kept([child("a"), child("b")]) as (heard, keeper, running):
        await heard.until(lambda: len(heard.pids) == 2)
        os.kill(heard.pids["a"][0], signal.SIGKILL)
        await heard.until(lambda: len(heard.pids["a"]) == 2)
        assert len(heard.pids["b"]) == 1
        keeper.stop()
        assert await running == 0


async def test_parts_stop_one_after_the_other_in_their_order() -> None:
    """The next is told when the one before is gone."""
    async with kept([child("a"), child("b"), child("c")]) as (heard, keeper, running):
        await heard.until(lambda: len(heard.pids) == 3)
        keeper.stop()
        assert await running == 0
        assert [name for name, line in heard.lines if line == "leaving"] == ["a", "b", "c"]


async def test_a_part_that_does_not_leave_is_killed_in_its_time() -> None:
    """The exit code tells of it."""
    parts = [child("stuck", handler="signal.SIG_IGN", leave_s=0.2), child("b")]
    async with kept(parts) as (heard, keeper, running):
        await heard.until(lambda: len(heard.pids) == 2)
        keeper.stop()
        assert await running == 1
        assert ("b", "leaving") in heard.lines


async def test_the_second_stop_kills_at_once() -> None:
    """Whoever wants to wait no longer does not."""
    async with kept([child("stuck", handler="signal.SIG_IGN", leave_s=60)]) as kept_:
        heard, keeper, running = kept_
        await heard.until(lambda: len(heard.pids) == 1)
        keeper.stop()
        keeper.stop()
        async with asyncio.timeout(20):
            assert await running == 1


async def test_what_is_set_up_wrong_is_said_once() -> None:
    """Exit code 2 at the first start ends everything; nothing is tried again."""
    wrong = child("wrong", then=f"print('no port'); sys.exit({EXIT_USAGE})")
    async with kept([wrong, child("b")]) as (heard, _, running):
        async with asyncio.timeout(20):
            assert await running == EXIT_USAGE
        assert heard.lines.count(("wrong", "no port")) == 1


async def test_what_a_killed_part_had_started_goes_with_it() -> None:
    """A worker's own processes would go on beside the next worker's."""
    forked = "if os.fork() == 0: print('fork', os.getpid(), flush=True)"
    async with kept([child("a", then=forked)]) as (heard, keeper, running):
        await heard.until(lambda: any(line.startswith("fork") for _, line in heard.lines))
        os.kill(heard.pids["a"][0], signal.SIGKILL)
        await heard.until(lambda: len(heard.pids["a"]) == 2)
        fork = next(int(line.split()[1]) for _, line in heard.lines if line.startswith("fork"))
        assert not _lives(fork)
        keeper.stop()
        await running


def test_restarts_come_later_and_later_but_not_for_ever() -> None:
    """At most half a minute."""
    waits = [wait_s(deaths) for deaths in range(12)]
    assert waits[:4] == [0.0, 0.5, 1.0, 2.0]
    assert waits[-1] == LONGEST_WAIT_S


def test_lines_carry_their_parts_name() -> None:
    """As a key where they are JSON, so that they stay JSON; in front of all others."""
    stream = io.StringIO()
    show = printer(stream)
    show("server", '{"event": "server.listening"}')
    show("beat", "celery beat is starting")
    first, second = stream.getvalue().splitlines()
    assert json.loads(first) == {"event": "server.listening", "part": "server"}
    assert second == "beat | celery beat is starting"


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
