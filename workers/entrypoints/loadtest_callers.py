"""Who makes the calls of a load test, as its command line says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Workers(StrEnum):
    """What runs the callers that share a test."""

    PROCESSES = "processes"
    """Of this machine."""
    CELERY = "celery"
    """Workers of Celery, wherever they are."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Those that share a test.

    Attributes:
        shards: How many; None: as many as there are Celery workers.
        workers: What runs them.
    """

    shards: int | None
    workers: Workers = Workers.PROCESSES


def callers_of(shards: int | None, workers: Workers) -> Callers | None:
    """Return who makes the calls; None: the process itself that was asked."""
    if shards is None and workers is Workers.PROCESSES:
        return None
    return Callers(shards, workers)
