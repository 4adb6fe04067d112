"""``evercall up``, as an operator starts it: it serves, ticks, survives kills, and leaves whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from workers.entrypoints.free_port import free_port

pytestmark = pytest.mark.real_time

PATIENCE_S = 60.0
AGENT = """\
name: greeter
system_instruction: You greet people.
"""
COMMAND = "from workers.entrypoints.cli import main; main()"


class Up:
    """The command, and what it has started."""

    def __init__(self, folder: Path, port: int | None, environment: dict[str, str]) -> None:
        self.log = folder / "log"
        self.data = folder / "data"
        self.port = port or free_port()
        agent = folder / "agent.yaml"
        agent.write_text(AGENT)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EVERCALL_", "TWILIO_", "GOOGLE_", "GEMINI_"))
        }
        settings = {
            "GOOGLE_API_KEY": "key",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "0" * 32,
            "EVERCALL_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "EVERCALL_TWILIO_BASE_URL": "http://127.0.0.1:9",
            "EVERCALL_AGENT": str(agent),
            "EVERCALL_DATA_DIR": str(self.data),
            "EVERCALL_LOG_LEVEL": "DEBUG",
            "EVERCALL_DRAIN_S": "1",
            "EVERCALL_DRAIN_SETTLE_S": "0",
            "PYTHONPATH": str(Path.cwd()),
            # Celery warns of root.
            "PYTHONWARNINGS": "ignore",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", COMMAND, "up", "--host", "127.0.0.1"),
                    *("--port", str(self.port), "--concurrency", "2"),
                ],
                env={**kept, **settings, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not there():
            assert time.monotonic() < deadline, f"no {what}:\n{self.text()[-8000:]}"
            time.sleep(0.1)

    def serves(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False).is_success
        return False

    def pid_of(self, part: str) -> int:
        """Of the main process of one part."""
        word = {"server": "serve"}.get(part, part)
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if word in child.cmdline():
                    return child.pid
        return 0

    def started(self) -> dict[int, psutil.Process]:
        return {each.pid: each for each in psutil.Process(self.process.pid).children(True)}


@contextmanager
def up(folder: Path, *, port: int | None = None, **environment: str) -> Iterator[Up]:
    running = Up(folder, port, environment)
    started: dict[int, psutil.Process] = {}
    try:
        yield running
    finally:
        if running.process.poll() is None:
            started = running.started()
            running.process.kill()
            running.process.wait()
        for each in started.values():
            with suppress(psutil.NoSuchProcess):
                each.kill()


def test_all_three_run_come_again_and_leave(tmp_path: Path) -> None:
    """Each is killed in turn; at SIGTERM all are gone, in order, with exit code 0."""
    with up(tmp_path) as running:
        running.wait_until(running.serves, "server")
        for part in ("worker", "beat", "server"):
            running.wait_until(lambda part=part: running.pid_of(part) > 0, part)  # type: ignore[misc]
            before = running.pid_of(part)
            os.kill(before, signal.SIGKILL)
            running.wait_until(
                lambda part=part, before=before: running.pid_of(part) not in (0, before),  # type: ignore[misc]
                f"other {part}",
            )
        running.wait_until(running.serves, "server again")
        started = running.started()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE_S) == 0, running.text()[-8000:]
        assert not [each for each in started.values() if each.is_running()]
        records = [json.loads(line) for line in running.text().splitlines() if line[:1] == "{"]
        stopped = [each["part"] for each in records if each["event"] == "up.stopping"]
        assert stopped == ["beat", "worker", "server"]
        assert not [each for each in records if each["event"] == "task.failed"]


def test_nothing_outlives_a_killed_command(tmp_path: Path) -> None:
    """Its parts notice and leave, as on SIGTERM."""
    with up(tmp_path) as running:
        running.wait_until(running.serves, "server")
        running.wait_until(lambda: all(map(running.pid_of, ("worker", "beat"))), "parts")
        started = running.started()
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(list(started.values()), timeout=PATIENCE_S)
        assert not alive


def test_a_missing_setting_is_said_once_before_anything_starts(tmp_path: Path) -> None:
    """With exit code 2, and no data directory made."""
    with up(tmp_path, TWILIO_AUTH_TOKEN="") as running:
        assert running.process.wait(PATIENCE_S) == 2
        assert running.text() == "TWILIO_AUTH_TOKEN: is not set\n"
        assert not running.data.exists()


def test_a_port_that_is_taken_ends_it(tmp_path: Path) -> None:
    """Starting the server again and again would not help."""
    with up(tmp_path) as first:
        first.wait_until(first.serves, "server")
        second = tmp_path / "second"
        second.mkdir()
        with up(second, port=first.port) as other:
            assert other.process.wait(PATIENCE_S) == 2, other.text()
            assert "Address already in use" in other.text()
