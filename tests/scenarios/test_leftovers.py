"""After many calls a worker holds no more than before the first."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from pathlib import Path

import psutil

from agent.spec import Greeting, Recording
from tests.scenarios.rig import GREETING, SPEECH, Rig, bakery, evercall, until
from workers.twin.caller import DropSocket, HangUp, Step, WaitAgentStarts, WaitStream
from workers.twin.live_api.session_log import NOTHING

AT_ONCE = 16
# Each connection of the pool (five) and of the writer has the database and its log open, all of
# them together the index of the log.
DATABASE_FILES = 6 * 2 + 1
# What the worker is made of; the twins and the test keep what they like.
OURS = ("agent.", "telephony.", "workers.call", "workers.entrypoints", "pipecat.", "google.genai")
# One object for each call would be 300.
FEW = 20
# A call that is not let go of is about a megabyte; this is a tenth of that for each of the last
# hundred. An allocator takes several hundred calls to settle: of each further hundred it kept
# 22, 7, 3 and 1 MB (observed).
RSS_NOISE_BYTES = 10 * 1024 * 1024


async def test_hundreds_of_calls_leave_nothing_behind(tmp_path: Path) -> None:
    """No task, socket, file, thread, entry or object more; memory after 320 calls as after 220."""
    spec = bakery(
        greeting=Greeting(GREETING, cached=True),
        recording=Recording(enabled=True),
        tools=("end_call", "workers.twin.demo_tools:order_status"),
    )
    async with evercall(tmp_path, SPEECH, agent=spec, keep=NOTHING) as rig:
        # Pools, caches and lazy imports fill up with the first calls.
        await _many(rig, 20)
        await _until_unconnected(rig)
        before, objects = _held(rig), _objects()
        await _many(rig, 200)
        rss = psutil.Process().memory_info().rss
        await _many(rig, 100)
        grown = psutil.Process().memory_info().rss - rss
        await _until_unconnected(rig)
        assert _held(rig) == before
        assert 0 < len(_database_files()) <= DATABASE_FILES
        # Timers with nothing left to do, and what they hold, go when their time comes.
        await until(lambda: not _more(objects), timeout_s=15, poll_s=1.0)
        assert grown < RSS_NOISE_BYTES
        # Some of those who hung up at once did so before there was a stream.
        counted = rig.metric("evercall_call_seconds_count")
        assert 240 <= counted <= 320
        assert rig.worker.store.lost == 0
        stored = await rig.worker.store.list_calls(limit=500)
        assert sum(call.record is not None for call in stored) == counted
        assert len(list((tmp_path / "recordings").glob("*.wav"))) <= counted


async def _many(rig: Rig, count: int) -> None:
    """Calls that end in every way, a few at a time."""
    scripts: list[tuple[Step, ...]] = [
        (WaitAgentStarts(), HangUp()),
        (WaitStream(), HangUp()),
        (WaitAgentStarts(), DropSocket(), HangUp()),
        (HangUp(),),
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await rig.phone(*scripts[number % len(scripts)])

    await asyncio.gather(*(one(number) for number in range(count)))
    await until(lambda: not len(rig.worker.active) and not rig.worker.runner.live)
    await until(lambda: not rig.live.open_sessions and not rig.twilio.live_sockets)
    assert await rig.worker.store.flush()
    rig.live.sessions.clear()
    gc.collect()


async def _until_unconnected(rig: Rig) -> None:
    """Wait for the connections that are kept alive between webhooks; uvicorn gives them 5 s."""
    port = rig.worker.server.port

    def connections() -> list[object]:
        return [
            found
            for found in psutil.Process().net_connections()
            if found.laddr.port == port and found.status != psutil.CONN_LISTEN
        ]

    await until(lambda: not connections(), timeout_s=15, poll_s=0.1)


def _held(rig: Rig) -> dict[str, int]:
    process = psutil.Process()
    sockets = process.net_connections()
    # The simulated Twilio's client keeps its ends until it makes another request.
    kept = [found for found in sockets if getattr(found.raddr, "port", 0) == rig.worker.server.port]
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": len([thread for thread in threading.enumerate() if not _pooled(thread)]),
        "files": process.num_fds() - len(kept) - len(_database_files()),
        "sockets": len(sockets) - len(kept),
    }


def _database_files() -> list[str]:
    """Those of the store: a bounded pool, whose connections are opened when they are wanted."""
    opened = (file.path for file in psutil.Process().open_files())
    return [path for path in opened if path.endswith((".sqlite3", ".sqlite3-wal", ".sqlite3-shm"))]


def _pooled(thread: threading.Thread) -> bool:
    """Whether it is one of a bounded pool, which grows when several are wanted at once."""
    # The loop's own pool is called after the loop, which is uvloop here; the next two have one
    # thread each, from the first greeting that is kept and the first record that is made.
    pools = ("asyncio_", "uvloop_", "greetings_", "records_", "store-", "ThreadPoolExecutor")
    return thread.name.startswith(pools)


def _more(before: Counter[str]) -> dict[str, int]:
    """Types with more objects than before, but for the few that threads had in hand last."""
    return {name: more for name, more in (_objects() - before).items() if more > FEW}


def _objects() -> Counter[str]:
    """Living objects of the worker's own types, by type."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if str(kind.__module__).startswith(OURS)
    )
