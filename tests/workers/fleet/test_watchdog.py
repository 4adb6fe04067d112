"""A loop that hangs ends its process; one that was only stopped, or is busy, does not."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.fleet.watchdog import LOOK_S, STOPPED_S, LoopWatchdog, Pulse

ROOT = Path(__file__).parents[3]


def test_loop_that_stands_still_for_longer_hangs() -> None:
    """Not at the limit, but past it."""
    pulse = Pulse(8.0, 100.0)
    now = 100.0
    while now < 108.0:
        now += LOOK_S
        assert pulse.look(100.0, now) is None
    assert pulse.look(100.0, now + LOOK_S) == pytest.approx(8.25)


def test_loop_that_is_alive_never_hangs() -> None:
    """However slow it is."""
    pulse = Pulse(2.0, 100.0)
    for look in range(1, 1000):
        now = 100.0 + look * LOOK_S
        assert pulse.look(now - 1.9, now) is None


def test_loop_gets_its_time_anew_where_all_of_the_process_stood_still() -> None:
    """Stopped for a minute, and continued: the loop had no chance to be alive."""
    pulse = Pulse(2.0, 100.0)
    assert pulse.look(100.2, 100.25) is None
    assert pulse.look(100.2, 160.0) is None
    looks = [pulse.look(100.2, 160.0 + look * LOOK_S) for look in range(1, 10)]
    assert looks[:8] == [None] * 8
    assert looks[8] == pytest.approx(2.25)


def test_look_that_is_a_little_late_changes_nothing() -> None:
    """A busy machine is no stop."""
    pulse = Pulse(2.0, 100.0)
    late_s = LOOK_S + STOPPED_S - 0.05
    assert pulse.look(100.0, 100.0 + late_s) is None
    assert pulse.look(100.0, 100.0 + 2 * late_s) is not None


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  a timer tells nobody
            await asyncio.sleep(0.01)


class Kill:
    def __init__(self) -> None:
        self.happened = threading.Event()
        self.asked: list[tuple[int, int]] = []

    def __call__(self, pid: int, number: int) -> None:
        self.asked.append((pid, number))
        self.happened.set()


async def test_hung_loop_is_told_in_one_line_and_killed(pipe: tuple[int, int]) -> None:
    """It names the place, and no value that is there."""
    kill = Kill()
    dog = LoopWatchdog(0.5, kill=kill, stderr=pipe[1])
    dog.start()

    def hang_here(secret: str) -> None:
        kill.happened.wait(10)
        assert secret

    hang_here("what the caller said")
    dog.close()
    assert kill.asked == [(os.getpid(), signal.SIGKILL)]
    text = os.read(pipe[0], 65_536)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    line = json.loads(text)
    assert (line["event"], line["pid"]) == ("loop.hung", os.getpid())
    assert 0.5 <= line["hung_s"] < 5
    assert any("test_watchdog.py" in one and one.endswith(" hang_here") for one in line["stack"])
    assert b"caller said" not in text


async def test_stderr_that_nobody_reads_does_not_keep_it_alive(pipe: tuple[int, int]) -> None:
    """A full pipe would block for good, and may be what the loop hangs at."""
    flags = fcntl.fcntl(pipe[1], fcntl.F_GETFL)
    fcntl.fcntl(pipe[1], fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe[1], bytes(1024))
    fcntl.fcntl(pipe[1], fcntl.F_SETFL, flags)
    kill = Kill()
    dog = LoopWatchdog(0.5, kill=kill, stderr=pipe[1])
    dog.start()
    assert kill.happened.wait(5)
    dog.close()


async def test_stderr_that_is_closed_does_not_keep_it_alive() -> None:
    """There is nobody to be told."""
    reading, writing = os.pipe()
    os.close(reading)
    kill = Kill()
    dog = LoopWatchdog(0.5, kill=kill, stderr=writing)
    dog.start()
    assert kill.happened.wait(5)
    dog.close()
    os.close(writing)


async def test_long_stack_is_cut_at_its_outer_end(pipe: tuple[int, int]) -> None:
    """A line fits a pipe in one piece; where it hangs is in it."""
    kill = Kill()
    dog = LoopWatchdog(0.5, kill=kill, stderr=pipe[1])
    dog.start()

    def a_function_whose_name_is_long_enough_to_fill_the_line_sooner_than_its_frames(
        n: int,
    ) -> None:
        if n == 0:
            hang_at_last()
        else:
            a_function_whose_name_is_long_enough_to_fill_the_line_sooner_than_its_frames(n - 1)

    def hang_at_last() -> None:
        kill.happened.wait(10)

    a_function_whose_name_is_long_enough_to_fill_the_line_sooner_than_its_frames(50)
    dog.close()
    text = os.read(pipe[0], 65_536)
    assert 3_500 < len(text) <= 4_096
    assert any(one.endswith(" hang_at_last") for one in json.loads(text)["stack"])


async def test_busy_loop_is_left_alone(pipe: tuple[int, int]) -> None:
    """It stands still again and again, but not for long."""
    kill = Kill()
    dog = LoopWatchdog(1.0, kill=kill, stderr=pipe[1])
    dog.start()
    for _ in range(6):
        time.sleep(0.3)  # noqa: ASYNC251  the loop is to stand still
        await asyncio.sleep(0.01)
    dog.close()
    assert kill.asked == []


async def test_loop_that_is_late_says_by_how_much() -> None:
    """The time it stood still past the moment at which it was wanted."""
    lags: list[float] = []
    now = 100.0
    dog = LoopWatchdog(60.0, kill=Kill(), on_lag=lags.append, clock=lambda: now)
    dog.start()
    now += LOOK_S + 0.12
    await until(lambda: len(lags) == 1)
    now += LOOK_S - 0.001
    await until(lambda: len(lags) == 2)
    dog.close()
    assert lags == [pytest.approx(0.12), 0.0]


async def test_zero_looks_after_nothing() -> None:
    """No thread, no timer."""
    before = threading.active_count()
    dog = LoopWatchdog(0.0)
    dog.start()
    assert threading.active_count() == before
    dog.close()


async def test_closed_watchdog_leaves_nothing_behind() -> None:
    """Neither a thread nor a timer."""
    dog = LoopWatchdog(0.3, kill=(kill := Kill()))
    dog.start()
    assert any(thread.name == "loop-watchdog" for thread in threading.enumerate())
    dog.close()
    assert not any(thread.name == "loop-watchdog" for thread in threading.enumerate())
    time.sleep(0.8)  # noqa: ASYNC251  the loop is to stand still
    assert kill.asked == []


SCRIPT = """
import asyncio, sys, time
from workers.fleet.watchdog import LoopWatchdog

async def main():
    LoopWatchdog(1.0).start()
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    if sys.argv[1] == "hang":
        time.sleep(60)
    await asyncio.sleep(float(sys.argv[1]))
    print("done", flush=True)

asyncio.run(main())
"""


def start(argument: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, argument],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_hung_process_dies_by_sigkill() -> None:
    """Really."""
    process = start("hang")
    _out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert json.loads(err)["event"] == "loop.hung"


def test_stopped_and_continued_process_lives() -> None:
    """SIGSTOP for longer than the loop may hang."""
    process = start("3")
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "done\n", "")
