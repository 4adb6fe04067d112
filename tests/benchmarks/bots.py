"""Bots in processes of their own, between the two twins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import certifi

from agent.conversation.record import CallRecord
from tests.benchmarks.moved_call import AGENT, API_KEY, Bot, Starts, free_port
from tests.benchmarks.rig import BotName, NotMeasured
from workers.store.sql import SqlCallStore
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.server import TwilioTwin

_ROOT = Path(__file__).parents[2]
_START_S = 60.0
_STOP_S = 10.0
_RECORD_S = 10.0


def bot_apart(name: BotName, *, agent: Path = AGENT, log: Path | None = None) -> Starts:
    """Start a bot in a process of its own.

    Args:
        name: Which.
        agent: Evercall's agent; the stock bot is what it is.
        log: Where the bot's output is appended; nowhere by default.
    """

    @asynccontextmanager
    async def start(live: LiveTwin, twilio: TwilioTwin, folder: Path) -> AsyncIterator[Bot]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        database = f"sqlite:///{folder / 'calls.sqlite3'}"
        trust = folder / "trust.pem"
        # The usual authorities stay in: a real worker loads them, once or for every call.
        trust.write_bytes(b"".join(map(_read, (certifi.where(), live.ca_file))))
        if name == "stock":
            command = [sys.executable, "-m", "tests.benchmarks.stock_bot", str(port)]
            command += [live.base_url, "--tool"]
        else:
            command = [str(Path(sys.executable).with_name("evercall")), "serve"]
            command += ["--host", "127.0.0.1", "--port", str(port), "--agent", str(agent)]
        environment = {
            **os.environ,
            "SSL_CERT_FILE": str(trust),
            "EVERCALL_PUBLIC_URL": url,
            "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
            "EVERCALL_DATA_DIR": str(folder / "data"),
            "EVERCALL_DATABASE_URL": database,
            "GOOGLE_API_KEY": API_KEY,
            "GOOGLE_GEMINI_BASE_URL": live.base_url,
            "TWILIO_ACCOUNT_SID": twilio.account_sid,
            "TWILIO_AUTH_TOKEN": twilio.auth_token,
        }
        with _output(log) as output:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=_ROOT, env=environment, stdout=output, stderr=output
            )
        try:
            await _until_it_listens(process, port)
            if name == "stock":
                yield Bot(url, _no_record, process.pid)
            else:

                async def record(call_sid: str) -> CallRecord | None:
                    # Not before: whoever opens a new database makes its tables.
                    store = SqlCallStore(database)
                    try:
                        return await _record(store, call_sid)
                    finally:
                        await store.close()

                yield Bot(url, record, process.pid, "/voice/status")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    return start


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, all threads, to the nanosecond."""
    # The clock of another process, see clock_getcpuclockid(3): its number holds the pid.
    return time.clock_gettime((~pid << 3) | 2)


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _read(name: str) -> bytes:
    return Path(name).read_bytes()


def _output(log: Path | None) -> BinaryIO:
    return Path(log or os.devnull).open("ab")


async def _until_it_listens(process: asyncio.subprocess.Process, port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.returncode is not None:
            raise NotMeasured(f"the bot ended at its start with code {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise NotMeasured("the bot does not listen")


async def _no_record(_call_sid: str) -> None:
    return None


async def _record(store: SqlCallStore, call_sid: str) -> CallRecord | None:
    """Read the record once the worker has written its last version."""
    deadline = time.monotonic() + _RECORD_S
    while time.monotonic() < deadline:
        stored = await store.load_call(call_sid)
        if stored is not None and stored.record is not None and stored.record.end_reason:
            return stored.record
        await asyncio.sleep(0.1)
    return None
