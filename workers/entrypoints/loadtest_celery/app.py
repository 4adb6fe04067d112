"""The Celery app of load tests: one task, which is a shard, on a queue of its own.

A task says which test it is for and which shard; all else comes and goes by ``mail``. One that is
taken twice, or long after its test, finds no mail.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Celery
from kombu.entity import Exchange, Queue

from workers.dialling.celery_app import broker_of
from workers.entrypoints.loadtest_celery.relay import relay
from workers.settings import WorkerSettings

QUEUE: Final = "loadtest"
TASK: Final = "evercall.loadtest.shard"
EXPIRES_S: Final = 3_600
"""Nobody waits for a shard so long; its clock may be wrong by minutes."""


def make_app(settings: WorkerSettings) -> Any:
    """Return the app, with its task."""
    app = Celery("evercall-loadtest", set_as_current=False)
    app.conf.update(
        **broker_of(settings),
        # No pickles: whoever can write to the broker could run what they like.
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # A process makes one shard at a time, and has no other one waiting that others could make.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        # A shard that was lost is not made by another: its test is over.
        task_reject_on_worker_lost=False,
        # It lasts as long as the test, and ends by itself when nobody leads it.
        task_time_limit=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        task_default_delivery_mode="transient",
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE, Exchange(QUEUE, type="direct"), routing_key=QUEUE)],
    )

    @app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery's
    def shard(test: str, index: int) -> None:
        relay(app, test, index)

    return app
