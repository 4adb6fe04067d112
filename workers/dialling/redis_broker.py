"""Redis as a broker, without what kills a worker when Redis goes away.

Kombu gives back what a worker has in hand when its connection is closed, also where it is closed
because it was lost, and acknowledges by a closed channel what was done meanwhile. Neither has a
connection any more; the ``AttributeError`` is taken for a mistake of the worker's own
("Unrecoverable error"), and the worker ends (observed with kombu 5.7.0, whenever a task ran;
celery/kombu #582 is the same in another place). Ours does neither. What a worker had in hand is in
Redis until its visibility time-out, has expired by then, and only said "look".
"""

from __future__ import annotations

from typing import Final

from kombu.transport import TRANSPORT_ALIASES, _transport_cache, redis

_SCHEMES: Final = ("redis", "rediss")


class Channel(redis.Channel):
    """Gives nothing back, and is silent once it is closed."""

    do_restore = False

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Say that a message is done with."""
        if not self.closed:
            super().basic_ack(delivery_tag, multiple=multiple)  # type: ignore[no-untyped-call]  # Kombu's

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Say that nobody here does it."""
        if not self.closed:
            super().basic_reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]  # Kombu's


class Transport(redis.Transport):
    """``redis://`` and ``rediss://``."""

    Channel = Channel


def register() -> None:
    """Have Kombu use it for every Redis of this process."""
    for scheme in _SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
        # What was looked up before would stay Kombu's own.
        if _transport_cache.get(scheme) is not Transport:
            _transport_cache.pop(scheme, None)
