"""What every call of a twin shares: keys, clocks, the HTTP client, and whom the tasks belong to."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.delivery import Deliverer
from workers.twin.twilio_api.ledger import Ledger
from workers.twin.twilio_api.media.stream import MediaStream
from workers.twin.twilio_api.resources import CallFacts


@dataclass(slots=True)
class Desk:
    """Handed to every call; the twin owns it and closes it."""

    account_sid: str
    auth_token: str
    deliverer: Deliverer
    tls: ssl.SSLContext | None
    on_dial: Callable[[str], CalleeBehaviour]
    record: Callable[[CallFacts], None]
    owns: Callable[[str], bool]
    clock: Callable[[], float] = time.monotonic
    posix: Callable[[], float] = time.time
    """The wall clock, in POSIX seconds."""
    speed: float = 1.0
    """How fast everything passes that is not audio."""
    keep_marks: bool = True
    """Whether calls keep what happens to marks among their events."""
    ledger: Ledger = field(default_factory=Ledger)
    streams: set[MediaStream] = field(default_factory=set)
    half_open: set[MediaStream] = field(default_factory=set)
    """Streams that are over, and whose servers have not been told."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def wall(self) -> datetime:
        """Read the wall clock."""
        return datetime.fromtimestamp(self.posix(), UTC)

    async def sleep(self, seconds: float) -> None:
        """Let so much of the twin's time pass."""
        await asyncio.sleep(seconds / self.speed)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work in a task that the twin waits for, or cancels, when it closes."""
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel what still runs and close the HTTP client."""
        while self.tasks:
            tasks = list(self.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)
            if all(not task.done() for task in tasks):
                break
        for stream in self.half_open:
            stream.abort()
        await self.deliverer.close()
