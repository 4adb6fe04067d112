"""What Celery is told, read back from the app."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.transport import TRANSPORT_ALIASES, _transport_cache

from workers.dialling.beat import LONGEST_NAP_S, MOST_WAITING, SteadyScheduler
from workers.dialling.celery_app import make_app
from workers.dialling.context import Context
from workers.dialling.tasks import EXPIRES_S, PERIODIC
from workers.settings import load_settings


def made(**overrides: object) -> Any:
    def no_context() -> Context:
        raise AssertionError("nobody runs a task")

    return make_app(load_settings(None, **overrides), no_context)


def test_nothing_but_json_is_read_or_written() -> None:
    """A pickle runs what its sender likes."""
    conf = made().conf
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert conf.event_serializer == "json"


def test_messages_are_acknowledged_when_done_and_results_not_kept() -> None:
    """What a killed worker had is given to another, one message at a time."""
    conf = made().conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result
    assert conf.result_backend is None


def test_every_task_has_limits_a_queue_and_an_expiry() -> None:
    """A soft limit before the hard one; what goes to customers has a queue of its own."""
    app = made()
    for each in PERIODIC:
        task = app.tasks[each.name]
        assert 0 < task.soft_time_limit < task.time_limit
        entry = app.conf.beat_schedule[each.name]
        assert entry["options"] == {"expires": EXPIRES_S}
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in app.conf.task_routes}
    assert {name for name, queue in queues.items() if queue == "after"} == {"evercall.deliver"}
    assert {queue.name for queue in app.conf.task_queues} == {"campaigns", "after"}
    assert app.conf.task_default_delivery_mode == "transient"


def test_it_waits_for_a_broker_for_good() -> None:
    """At the start and later."""
    conf = made().conf
    assert conf.broker_connection_retry_on_startup
    assert conf.broker_connection_max_retries is None


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        (None, "workers.dialling.embedded"),
        ("redis://127.0.0.1:6379/1", "workers.dialling.redis_broker"),
        ("amqp://guest@127.0.0.1//", "kombu.transport.pyamqp"),
    ],
)
def test_the_broker_is_the_settings(url: str | None, transport: str, tmp_path: Path) -> None:
    """A folder in the data directory unless one is named."""
    app = made(broker_url=url, data_dir=tmp_path)
    connection = app.connection_for_write()
    assert type(connection.transport).__module__ == transport
    if url is None:
        assert connection.transport_options["folder"] == str(tmp_path / "queue")


def test_the_broker_is_ours_also_where_redis_was_spoken_to_before(tmp_path: Path) -> None:
    """Kombu keeps the class that it once found for a scheme."""
    url = "redis://127.0.0.1:6379/1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRANSPORT_ALIASES, "redis", "kombu.transport.redis:Transport")
        patch.delitem(_transport_cache, "redis", raising=False)
        assert type(Connection(url).transport).__module__ == "kombu.transport.redis"
        connection = made(broker_url=url, data_dir=tmp_path).connection_for_write()
        assert type(connection.transport).__module__ == "workers.dialling.redis_broker"


class _Steady(SteadyScheduler):
    producer: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[str] = []
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: object = None) -> None:
        self.sent.append(entry.name)


def test_beat_goes_by_a_clock_that_cannot_be_set_back() -> None:
    """Each entry at once, then in its interval; what was missed is not made up for."""
    now = 0.0
    beat = _Steady(made(), clock=lambda: now)
    assert beat.schedule["evercall.tick"].schedule.run_every == timedelta(seconds=1)
    beat.tick()
    assert sorted(beat.sent) == sorted(each.name for each in PERIODIC)
    beat.sent.clear()
    now = 0.4
    assert beat.tick() == pytest.approx(0.6)
    assert beat.sent == []
    now = 1.0
    beat.tick()
    assert sorted(beat.sent) == ["evercall.dial", "evercall.settle", "evercall.tick"]
    beat.sent.clear()
    now = 1000.0
    assert 0 < beat.tick() <= LONGEST_NAP_S
    assert len(beat.sent) == len(PERIODIC)


class _Channel:
    def __init__(self, waiting: dict[str, int]) -> None:
        self.channel = self
        self._waiting = waiting

    def _size(self, queue: str) -> int:
        return self._waiting[queue]


def test_beat_sends_nothing_to_a_queue_that_nobody_reads() -> None:
    """The other one gets its messages, and this one as soon as somebody reads it again."""
    now = 0.0
    beat = _Steady(made(), clock=lambda: now)
    waiting = {"campaigns": 0, "after": MOST_WAITING}
    beat.producer = _Channel(waiting)
    beat.tick()
    assert sorted(beat.sent) == sorted({each.name for each in PERIODIC} - {"evercall.deliver"})
    waiting["after"] -= 1
    now = 2.0
    beat.tick()
    assert "evercall.deliver" in beat.sent
