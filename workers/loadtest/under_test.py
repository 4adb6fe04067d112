"""The worker under test, whosoever it is: where it is called, and how it can be looked at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from workers.loadtest.errors import LoadTestError

REACH_S: Final = 5.0
VOICE_PATH: Final = "/voice"


@dataclass(frozen=True, slots=True)
class Ends:
    """The simulated ends of a test, to which a worker has to be pointed.

    Attributes:
        account_sid: Of the Twilio account.
        auth_token: Of it; signs the webhooks.
        twilio_url: Its REST API.
        live_url: The simulated Live API; None: there is none, the service is used.
        live_ca_file: Who certifies that.
        live_key: The key that it lets in.
    """

    account_sid: str
    auth_token: str
    twilio_url: str
    live_url: str | None = None
    live_ca_file: str | None = None
    live_key: str = ""


async def _no_gaps(_call_sid: str) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class UnderTest:
    """A worker that takes calls.

    Attributes:
        voice_url: The webhook of its number.
        status_url: The number's status callback; empty: it has none.
        metrics_url: Its page; None: not known.
        pids: The processes that serve now; none where they are somebody else's.
        reset_gaps_ms: Of a call that is over by its SID, the gaps of its reset reports.
    """

    voice_url: str
    status_url: str = ""
    metrics_url: str | None = None
    pids: Callable[[], Sequence[int]] = tuple
    reset_gaps_ms: Callable[[str], Awaitable[tuple[float, ...]]] = _no_gaps


StartWorker = Callable[[Ends], AbstractAsyncContextManager[UnderTest]]
"""Starts a worker, or finds one, from enter to exit.

Raises:
    LoadTestError: it cannot be had.
"""


def given_target(url: str) -> StartWorker:
    """Find a worker that runs already.

    Args:
        url: Its voice webhook; without a path, that of an evercall worker there.
    """

    @asynccontextmanager
    async def find(_ends: Ends) -> AsyncIterator[UnderTest]:
        parts = urlsplit(url)
        if parts.path in ("", "/"):
            parts = parts._replace(path=VOICE_PATH)
        ours = parts.path == VOICE_PATH
        voice_url = urlunsplit(parts)
        await _reach(voice_url)
        yield UnderTest(
            voice_url=voice_url,
            status_url=f"{voice_url}/status" if ours else "",
            metrics_url=urlunsplit(parts._replace(path="/metrics", query="")),
        )

    return find


async def _reach(url: str) -> None:
    """Connect once: a test of minutes is not to find out that nobody listens.

    Raises:
        LoadTestError: nobody does, or it is no address.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadTestError(f"{url} is no address such as https://voice.example/voice.")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise LoadTestError(f"{url} is no address: {error}.") from error
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
            writer.close()
    except TimeoutError as error:
        raise LoadTestError(
            f"{url} cannot be reached: nobody answered within {REACH_S:.0f} s."
        ) from error
    except OSError as error:
        raise LoadTestError(f"{url} cannot be reached: {_why(error)}.") from error
    except UnicodeError as error:
        # A label of the host is empty or longer than 63 bytes (RFC 1035, section 2.3.4).
        raise LoadTestError(f"{url} is no address: nobody can have such a name.") from error


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    # asyncio puts address and errno in front of what the system says.
    return error.strerror or str(error)
