"""Tells customers' systems of contacts that are done with: signed, again and again, for three days.

The form is that of standardwebhooks.com (specification, "Webhook Headers" and "Signature scheme"):
``webhook-id`` is the same at every try of one revision, so that a receiver can drop what it has;
``webhook-signature`` is HMAC-SHA256 over id, time and body, in base64. A system that is down costs
its campaign nothing, and another's only the time-out of one round.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import structlog
from sqlalchemy import Engine

from workers.dialling.transactions import write
from workers.store.campaigns.outbox import (
    DueDelivery,
    any_due,
    claim_due,
    note_delivered,
    note_failed,
)
from workers.store.database import reading

TIMEOUT_S: Final = 10.0
"""For one answer; the specification's range is 15 to 30 s, and ours are tried again anyway."""
WAITS: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
)
"""After the first try, the second, and so on; the last of them after all others."""
GIVE_UP: Final = timedelta(days=3)
OF_EACH: Final = 50
"""Requests to one customer's system at once."""
_LEASE: Final = timedelta(seconds=60)
_KEY_PREFIX: Final = "whsec_"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a run's tries."""

    told: int = 0
    failed: int = 0


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``.

    Args:
        secret: ``whsec_`` and base64, or any other text, which is the key as it stands.
        message_id: ``webhook-id``.
        timestamp: ``webhook-timestamp``, POSIX seconds.
        body: The request's, as it is sent.

    Raises:
        ValueError: what follows ``whsec_`` is not base64.
    """
    key = secret.encode()
    if secret.startswith(_KEY_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"must be base64 after {_KEY_PREFIX}") from None
    signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


def next_try(tries: int, *, written_at: datetime, now: datetime) -> datetime | None:
    """When to try again after ``tries`` that failed; None: never."""
    at = now + WAITS[min(tries, len(WAITS)) - 1]
    return at if at < written_at + GIVE_UP else None


async def deliver(
    engine: Engine,
    http: aiohttp.ClientSession,
    *,
    wall: Callable[[], float],
    secret_of: Callable[[str], str | None],
    for_s: float = 0.0,
) -> Delivered:
    """Tell what is due, in rounds, until nothing is or ``for_s`` have passed.

    Args:
        engine: The database.
        http: Without cookies, to whatever address the operator's file names.
        wall: POSIX seconds.
        secret_of: From an environment variable's name to its value.
        for_s: When no further round begins; one takes ``TIMEOUT_S`` at most.
    """
    until = time.monotonic() + for_s
    told = failed = 0
    while True:
        now = datetime.fromtimestamp(wall(), UTC)
        due = _claim(engine, now)
        tries = [_try(engine, http, one, wall, secret_of) for one in due]
        results = await asyncio.gather(*tries)
        told += sum(results)
        failed += len(results) - sum(results)
        if not due or time.monotonic() >= until:
            return Delivered(told, failed)


def _claim(engine: Engine, now: datetime) -> list[DueDelivery]:
    with reading(engine) as connection:
        # SQLite has one writer; who finds nothing to do need not be it.
        if not any_due(connection, now=now):
            return []
    return write(engine, lambda c: claim_due(c, now=now, lease=_LEASE, of_each=OF_EACH))


async def _try(
    engine: Engine,
    http: aiohttp.ClientSession,
    one: DueDelivery,
    wall: Callable[[], float],
    secret_of: Callable[[str], str | None],
) -> bool:
    error = await _post(http, one, wall, secret_of)
    now = datetime.fromtimestamp(wall(), UTC)
    if error is None:
        write(engine, lambda c: note_delivered(c, one, now=now))
        return True
    again = next_try(one.tries, written_at=one.written_at, now=now) if one.webhook else None
    write(engine, lambda c: note_failed(c, one, error=error, next_at=again))
    event = "delivery.failed" if again else "delivery.given_up"
    _log.warning(
        event, campaign_id=one.campaign_id, outbox_id=one.outbox_id, tries=one.tries, error=error
    )
    return False


async def _post(
    http: aiohttp.ClientSession,
    one: DueDelivery,
    wall: Callable[[], float],
    secret_of: Callable[[str], str | None],
) -> str | None:
    """Why it was not taken; None where it was."""
    if one.webhook is None:
        return "the campaign has no webhook any more"
    body = one.payload.encode()
    timestamp = int(wall())
    headers = {
        "content-type": "application/json",
        "webhook-id": one.message_id,
        "webhook-timestamp": str(timestamp),
    }
    if name := one.webhook.secret_env:
        secret = secret_of(name)
        if not secret:
            # Better late than unsigned: who checks would refuse it, who does not must not learn to.
            return f"{name}: is not set where Celery's worker runs"
        try:
            headers["webhook-signature"] = signature(secret, one.message_id, timestamp, body)
        except ValueError as error:
            return f"{name}: {error}"
    try:
        async with http.post(
            one.webhook.url,
            data=body,
            headers=headers,
            # The secret's holder is the address in the file, and nobody it points to.
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        ) as response:
            return None if 200 <= response.status < 300 else f"it answered {response.status}"
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:.0f} s"
    except (aiohttp.ClientError, ValueError) as error:
        # Its text may hold the address, and that a password.
        return f"no connection: {type(error).__name__}"
