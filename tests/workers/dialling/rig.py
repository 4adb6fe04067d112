"""Celery's own processes, on a broker of every kind, with the app of ``probe_app``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes.rabbitmq import RabbitMQ, rabbitmq_server
from tests.fakes.redis import NoServerError, Redis, redis_server
from tests.workers.dialling import probe_app

APP = "tests.workers.dialling.probe_app"
PATIENCE_S = 45.0


@dataclass
class Rig:
    """Celery's processes on one broker."""

    environment: Mapping[str, str]
    traces: Path
    log: Path
    broker: Redis | RabbitMQ | None
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", APP, *words],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", "-c", "2", "-l", "INFO", "--without-mingle")

    def beat(self) -> subprocess.Popen[bytes]:
        return self.start("beat", "-l", "INFO")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """With all its children, as when a machine goes."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.running.remove(process)

    def count(self, word: str) -> int:
        lines = self.traces.read_text().splitlines() if self.traces.exists() else []
        return sum(line.startswith(word) for line in lines)

    def wait_for(self, word: str, *, more: int = 1) -> None:
        """Until so many more have left their trace."""
        wanted = self.count(word) + more
        self.wait_until(lambda: self.count(word) >= wanted, word)

    def wait_for_first(self, word: str) -> None:
        """Until one has left its trace, which may have been before this was asked."""
        self.wait_until(lambda: self.count(word) > 0, word)

    def wait_until(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not there():
            assert time.monotonic() < deadline, f"no {what}:\n{self.log.read_text()[-6000:]}"
            time.sleep(0.05)


@contextmanager
def rigged(kind: str, folder: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        broker: Redis | RabbitMQ | None = None
        try:
            if kind == "redis":
                broker = stack.enter_context(redis_server())
            elif kind == "rabbitmq":
                broker = stack.enter_context(rabbitmq_server())
        except NoServerError as error:
            pytest.skip(str(error))
        environment = {
            **{name: value for name, value in os.environ.items() if "EVERCALL" not in name},
            "EVERCALL_DATA_DIR": str(folder / "data"),
            "EVERCALL_BROKER_URL": broker.url if broker else "",
            probe_app.TRACES: str(folder / "traces"),
            # Tests run as root, which Celery warns of.
            "PYTHONWARNINGS": "ignore",
        }
        rig = Rig(environment, folder / "traces", folder / "log", broker)
        try:
            yield rig
        finally:
            for process in list(rig.running):
                rig.kill(process)
