"""Real workers on every broker: whatever is killed, ticks come through again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.dialling import probe_app
from tests.workers.dialling.rig import rigged
from workers.dialling.celery_app import make_app
from workers.dialling.context import build_context
from workers.dialling.tasks import CAMPAIGNS
from workers.settings import load_settings

pytestmark = pytest.mark.real_time


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
        rig.wait_for_first("hold")
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


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_worker_outlives_its_broker_with_tasks_in_hand(kind: str, tmp_path: Path) -> None:
    """One goes on when the broker is back, one has ended by then: neither can be given back."""
    with rigged(kind, tmp_path) as rig:
        assert rig.broker is not None
        worker = rig.worker()
        rig.beat()
        rig.wait_for("tick")
        settings = load_settings(None, data_dir=tmp_path / "data", broker_url=rig.broker.url)
        sender = make_app(settings, lambda: build_context(settings))
        for task, word in ((probe_app.HOLD, "hold"), (probe_app.NAP, "nap")):
            sender.send_task(task, queue=CAMPAIGNS, expires=30)
            rig.wait_for_first(word)
        rig.broker.kill()
        rig.wait_for_first("woke")
        rig.broker.start()
        rig.wait_for("tick", more=4)
        assert worker.poll() is None
        assert "Unrecoverable error" not in rig.log.read_text()
