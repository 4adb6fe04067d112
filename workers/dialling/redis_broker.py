"""Redis as a broker, without what kills a worker when Redis goes away.

Kombu gives back what a worker has in hand when its connection is closed, also where it is closed
because it was lost: then there is nothing to give it back by, the ``AttributeError`` is taken for a
mistake of the worker's own ("Unrecoverable error"), and the worker ends (observed with kombu 5.7.0,
whenever a task ran; celery/kombu #582 is the same in another place). Ours gives nothing back.
What a worker had in hand is in Redis until its visibility time-out, has expired by then, and only
said "look".
"""

from __future__ import annotations

from typing import Final

from kombu.transport import TRANSPORT_ALIASES, redis

_SCHEMES: Final = ("redis", "rediss")


class Channel(redis.Channel):
    """Gives nothing back."""

    do_restore = False


class Transport(redis.Transport):
    """``redis://`` and ``rediss://``."""

    Channel = Channel


def register() -> None:
    """Have Kombu use it for every Redis of this process."""
    for scheme in _SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
