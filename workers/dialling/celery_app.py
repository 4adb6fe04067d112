"""The Celery app: how messages are sent, kept and taken.

Messages carry nothing and may be lost (``workers.dialling.tasks``), so everything here is chosen
for going on: whatever becomes of the broker, of a worker or of beat, the next message gets through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from celery import Celery
from kombu.entity import Exchange, Queue

from workers.dialling import embedded
from workers.dialling.context import Context
from workers.dialling.tasks import AFTER, CAMPAIGNS, EXPIRES_S, PERIODIC, register
from workers.settings import WorkerSettings

MOST_WAITING: Final = 1_000
"""In one queue, where the broker can be told (RabbitMQ); the oldest goes."""
# Between a worker that vanished and another that gets its message (Redis). Longer than any task,
# or it would be run twice at once, which does no harm; it has expired by then anyway.
_VISIBILITY_S: Final = 300
_POLLING_S: Final = 0.1
_REDIS: Final = {
    "visibility_timeout": _VISIBILITY_S,
    # A server that vanished without a word is noticed (kombu/transport/redis.py, socket_timeout).
    "socket_timeout": 10.0,
    "socket_connect_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
_AMQP: Final = {
    # A broker that is short of memory or disk blocks publishers; beat must not hang for ever.
    "read_timeout": 30,
    "write_timeout": 10,
}


def make_app(settings: WorkerSettings, context_of: Callable[[], Context]) -> Any:
    """Return the Celery app, with its tasks.

    Args:
        settings: Where the broker is.
        context_of: This process's; called when a task runs.
    """
    app = Celery("evercall", set_as_current=False)
    app.conf.update(_configuration(settings))
    register(app, context_of)
    return app


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    return {
        **broker_of(settings),
        # No pickles: whoever can write to the broker could run what they like.
        "task_serializer": "json",
        "accept_content": ["json"],
        "event_serializer": "json",
        # Results are in the database.
        "result_backend": None,
        "task_ignore_result": True,
        # What a killed process had taken is given to another.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_soft_time_limit": 60,
        "task_time_limit": 75,
        # A task that is running when the broker goes away finishes.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Flower's.
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Beat does not wait for a broker that is away: the next message is due in a second.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1},
        # Written to disk they would be out of date when read.
        "task_default_delivery_mode": "transient",
        "task_default_queue": CAMPAIGNS,
        "task_queues": [_queue(CAMPAIGNS), _queue(AFTER)],
        "task_routes": {each.name: {"queue": each.queue} for each in PERIODIC},
        "beat_scheduler": "workers.dialling.beat:SteadyScheduler",
        "beat_schedule": {
            each.name: {
                "task": each.name,
                "schedule": each.every_s,
                "options": {"expires": EXPIRES_S},
            }
            for each in PERIODIC
        },
        "timezone": "UTC",
        "enable_utc": True,
        # Ours: workers.logs.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def broker_of(settings: WorkerSettings) -> dict[str, Any]:
    """Return what an app of Celery needs to know of the broker."""
    if settings.broker_url is None:
        embedded.register()
        folder = (settings.data_dir / "queue").absolute()
        return {
            "broker_url": f"{embedded.SCHEME}://localhost//",
            "broker_transport_options": {
                embedded.SCHEME: str(folder),
                "polling_interval": _POLLING_S,
            },
        }
    url = settings.broker_url.get_secret_value()
    if url.startswith("amqp"):
        return {"broker_url": url, "broker_transport_options": {**_AMQP}}
    # Imports Redis' client, which nobody else needs.
    from workers.dialling import redis_broker

    redis_broker.register()
    return {"broker_url": url, "broker_transport_options": {**_REDIS}}


def _queue(name: str) -> Queue:
    return Queue(
        name,
        Exchange(name, type="direct"),
        routing_key=name,
        max_length=MOST_WAITING,
        message_ttl=EXPIRES_S,
    )
