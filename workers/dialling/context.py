"""What tasks work with, made once in each process that runs them."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import Engine

from telephony.calls.rest import TwilioRest
from workers.dialling.beginning import Limits
from workers.settings import WorkerSettings, secret_named
from workers.store.database import clock_ahead_s, open_engine, writing
from workers.store.migrate import migrate


@dataclass(frozen=True, slots=True)
class Context:
    """Of one process."""

    engine: Engine
    limits: Limits
    rest: Callable[[], TwilioRest]
    """Made within the event loop that uses it."""
    http: Callable[[], aiohttp.ClientSession]
    """Likewise; to customers' systems."""
    secret_of: Callable[[str], str | None]
    """From an environment variable's name to its value."""
    locks: Path
    """A folder of this machine."""
    wall: Callable[[], float] = time.time
    """POSIX seconds."""
    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds, as fast as ``wall``."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Lets seconds of both pass."""
    ahead_s: Callable[[], float] = lambda: 0.0
    """How far ``wall`` is ahead of the clock that all hosts have in common."""


def build_context(settings: WorkerSettings) -> Context:
    """Return what the settings lead to, with the tables made.

    Raises:
        SettingsError: one that dialling cannot be without is not set.
        SQLAlchemyError: the database is not there.
        OSError: likewise, or the data folder cannot be written.
    """
    twilio = settings.twilio()
    tls = ssl.create_default_context(cafile=settings.ssl_cert_file)
    locks = settings.data_dir / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.database)
    with writing(engine) as connection:
        migrate(connection)
    return Context(
        engine=engine,
        limits=Limits(
            account=twilio.account_sid,
            calls_per_second=settings.calls_per_second,
            kept_for_inbound=settings.kept_for_inbound,
        ),
        rest=lambda: TwilioRest(twilio),
        http=lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls), cookie_jar=aiohttp.DummyCookieJar()
        ),
        secret_of=secret_named,
        locks=locks,
        ahead_s=lambda: clock_ahead_s(engine, time.time),
    )


class OfThisProcess:
    """Builds a context when it is first wanted, and again after a fork.

    A connection that two processes have is written to by both.
    """

    def __init__(self, build: Callable[[], Context]) -> None:
        self._build = build
        self._built: tuple[int, Context] | None = None

    def __call__(self) -> Context:
        """Return this process's.

        Raises:
            Exception: whatever building it does; the next call builds anew.
        """
        if self._built is None or self._built[0] != os.getpid():
            self._built = os.getpid(), self._build()
        return self._built[1]
