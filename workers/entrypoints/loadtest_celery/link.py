"""The leader's way to shards that are tasks of Celery."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from workers.entrypoints.loadtest_celery.app import EXPIRES_S, QUEUE, TASK, make_app
from workers.entrypoints.loadtest_celery.mail import LEADER, Mail, MailError
from workers.entrypoints.loadtest_celery.relay import box_of
from workers.loadtest.errors import LoadTestError
from workers.loadtest.shards.lead import Gone, Patience
from workers.loadtest.shards.messages import FromLeader, FromShard, Prepare, decode, encode
from workers.settings import WorkerSettings

PREPARE_S: Final = 60.0
LEAD_S: Final = 3.0
"""Letters take a few tenths of a second."""
WORKER: Final = f"celery -A workers.entrypoints.loadtest_celery.main worker -Q {QUEUE}"
"""What starts one, on each host."""
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 2.0
_LISTEN_S: Final = 0.5


@asynccontextmanager
async def over_celery(
    settings: WorkerSettings, count: int | None, asked: Callable[[int], Sequence[Prepare]]
) -> AsyncIterator[tuple[int, Letters, Patience]]:
    """Send a task for each shard; what they are told by is gone on exit.

    Args:
        settings: Where the broker is.
        count: How many shards; None: one for each worker that answers.
        asked: What each of so many is to prepare.

    Raises:
        LoadTestError: the broker cannot be reached, or no worker listens.
    """
    app = make_app(settings)
    workers = await asyncio.to_thread(_listening, app)
    count = count or len(workers)
    test = uuid.uuid4().hex[:12]
    prepared = asked(count)
    write, read = app.connection_for_write(), app.connection_for_read()
    with Mail(write, test) as out, Mail(read, test) as in_:
        link = Letters(out, in_, count)
        try:
            await asyncio.to_thread(_send, app, out, test, prepared)
            yield count, link, Patience(PREPARE_S, LEAD_S, _never(workers))
        except MailError as error:
            raise LoadTestError(f"The broker does not take letters: {error}.") from error
        finally:
            await link.close()
            await asyncio.to_thread(_clear, out, count)


class Letters:
    """Carries messages to shards and back.

    Args:
        out: What goes to them.
        in_: What comes from them.
        count: How many there are.
    """

    def __init__(self, out: Mail, in_: Mail, count: int) -> None:
        self._out = out
        self._in = in_
        self._count = count
        self._sending = asyncio.Lock()
        self._fetching: asyncio.Task[Any] | None = None
        self._gone: list[tuple[int, Gone]] = []

    async def send(self, index: int, message: FromLeader) -> None:
        """Tell one something, if there is a broker; where there is none ``receive`` says so."""
        async with self._sending:
            with contextlib.suppress(MailError):
                await asyncio.to_thread(self._out.put, box_of(index), encode(message))

    async def receive(self) -> tuple[int, FromShard | Gone]:
        """Return what the next one says, or that the way to all of them is gone."""
        while not self._gone:
            # A thread cannot be cancelled: a letter that it fetches meanwhile is for the next call.
            if self._fetching is None:
                self._fetching = asyncio.create_task(
                    asyncio.to_thread(self._in.get, LEADER, wait_s=_LISTEN_S)
                )
            await asyncio.wait({self._fetching})
            fetched, self._fetching = self._fetching, None
            try:
                letter = fetched.result()
            except MailError as error:
                why = f"cannot be heard any more: the broker is gone ({error})"
                self._gone = [(index, Gone(why)) for index in range(self._count)]
                continue
            if letter is not None:
                return _read(letter)
        return self._gone.pop(0)

    async def close(self) -> None:
        """Fetch nothing any more."""
        if self._fetching is not None:
            await asyncio.wait({self._fetching})
            # Whether that went well matters to nobody.
            self._fetching.exception()


def _read(letter: Any) -> tuple[int, FromShard | Gone]:
    index = int(letter["shard"])
    try:
        # Whether it is one from a shard the conductor's table says.
        return index, cast(FromShard, decode(letter["said"]))
    except ValueError as error:
        return index, Gone(f"says what nobody here understands ({error}): is it another version?")


def _listening(app: Any) -> list[str]:
    """Return the workers that take shards."""
    url = app.connection_for_write().as_uri()
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_S)
        except Exception as error:  # each transport has errors of its own
            raise LoadTestError(f"The broker at {url} cannot be reached: {error}.") from error
    queues = app.control.inspect(timeout=_ANSWER_S).active_queues() or {}
    found = [name for name, taken in queues.items() if any(q["name"] == QUEUE for q in taken)]
    if not found:
        raise LoadTestError(
            f"No worker of Celery listens to the queue {QUEUE} at {url}. Start one on each host:"
            f" {WORKER}"
        )
    return found


def _never(workers: Sequence[str]) -> str:
    named = ", ".join(workers)
    return (
        f"Workers that answered: {named}. Each process of theirs makes one shard at a time:"
        " start more, or ask for fewer --shards."
    )


def _send(app: Any, out: Mail, test: str, prepared: Sequence[Prepare]) -> None:
    out.open(LEADER)
    for index, prepare in enumerate(prepared):
        # First the letter: a task that finds none takes its shard for somebody else's.
        out.put(box_of(index), encode(prepare))
        app.send_task(TASK, args=(test, index), queue=QUEUE, expires=EXPIRES_S)


def _clear(out: Mail, count: int) -> None:
    with contextlib.suppress(MailError):
        for box in (LEADER, *(box_of(index) for index in range(count))):
            out.remove(box)
