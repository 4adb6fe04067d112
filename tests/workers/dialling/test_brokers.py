"""Real workers on every broker: whatever is killed, ticks come through again."""

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
from workers.dialling.celery_app import make_app
from workers.dialling.context import build_context
from workers.dialling.tasks import CAMPAIGNS
from workers.settings import load_settings

pytestmark = pytest.mark.real_time

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


@pytest.mark.parametrize("kind", ["embedded", "redis", "rabbitmq"])
def test_ticks_come_through_whatever_is_killed(kind: str, tmp_path: Path) -> None:
    """A worker in the midst of a task, beat, and the broker, which comes back empty."""
    with rigged(kind, tmp_path) as rig:
        worker, beat = rig.worker(), rig.beat()
        rig.wait_for("tick", more=2)
        settings = load_settings(
            None, data_dir=tmp_path / "data", broker_url=rig.broker.url if rig.broker else None
        )
        sender = make_app(settings, lambda: build_context(settings))
        sender.send_task(probe_app.HOLD, queue=CAMPAIGNS, expires=30)
        rig.wait_for("hold")
        rig.kill(worker)
        worker = rig.worker()
        rig.wait_for("tick", more=2)
        rig.kill(beat)
        rig.beat()
        rig.wait_for("tick", more=2)
        if rig.broker is not None:
            rig.broker.kill()
            rig.broker.start()
            rig.wait_for("tick", more=4)
        else:
            for path in tmp_path.glob("data/queue/queues/*/*"):
                path.write_bytes(b"")
            rig.wait_for("tick", more=2)
        assert worker.poll() is None
        assert "task.database_away" in rig.log.read_text(), "other tasks ran and did not fail"
