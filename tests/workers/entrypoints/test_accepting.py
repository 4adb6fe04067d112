"""Two servers on one socket, over real connections."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop

from workers.entrypoints.accepting import GIVE_WAY_S, MANY, NEW_S, TakingTurns
from workers.entrypoints.listener import listen
from workers.entrypoints.stream_counts import StreamCounts


class Greeter(asyncio.Protocol):
    """Says who it is to whoever connects."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no asyncio.Transport.
        stream = cast(asyncio.Transport, transport)
        stream.write(self._name)
        stream.close()


class Refusing(socket.socket):
    """A listening socket whose next ``accept`` fails."""

    refuses: OSError | None = None

    def accept(self) -> tuple[socket.socket, object]:
        if self.refuses is not None:
            error, self.refuses = self.refuses, None
            raise error
        return super().accept()


class Shared:
    """An address that two processes would listen on."""

    def __init__(self, folder: Path) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.counts = [StreamCounts(folder, place) for place in range(2)]
        for each in self.counts:
            each.add(0)

    @contextmanager
    def server(self, place: int) -> Iterator[Refusing]:
        own = Refusing(fileno=self.listener.dup().detach())
        counts = self.counts[place]
        server = TakingTurns(own, lambda: Greeter(b"%d" % place), counts)
        try:
            yield own
        finally:
            server.close()
            server.close()

    async def greeted(self) -> int:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                return int(await reader.read())
            finally:
                writer.close()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    address = Shared(tmp_path)
    with address.listener:
        yield address


async def test_whoever_has_fewer_accepts(shared: Shared) -> None:
    shared.counts[0].add(3)
    with shared.server(0), shared.server(1):
        assert await shared.greeted() == 1
        await asyncio.sleep(2 * NEW_S)
        shared.counts[1].add(4)
        assert await shared.greeted() == 0


async def test_many_at_once_are_shared_out(shared: Shared) -> None:
    """None of them has said yet what it is, and both servers are awake all the time."""
    with shared.server(0), shared.server(1):
        served = await asyncio.gather(*(shared.greeted() for _ in range(20)))
    assert abs(served.count(0) - served.count(1)) <= 2


async def test_new_connection_counts_for_a_moment_only(shared: Shared) -> None:
    """What is a stream after that is counted by others."""
    with shared.server(0):
        await shared.greeted()
        assert shared.counts[0].somebody_has_fewer()
        await asyncio.sleep(2 * NEW_S)
        assert not shared.counts[0].somebody_has_fewer()


async def test_connection_is_taken_where_nobody_else_does(shared: Shared) -> None:
    """The one with fewer is dead, or its loop stands still."""
    shared.counts[0].add(30)
    loop = asyncio.get_running_loop()
    with shared.server(0):
        began = loop.time()
        assert await shared.greeted() == 0
        assert loop.time() - began >= GIVE_WAY_S * 0.9
        assert await shared.greeted() == 0


async def test_burst_is_taken_where_nobody_else_does(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one by one: a dead process's calls come back all at once."""
    monkeypatch.setattr("workers.entrypoints.accepting.GIVE_WAY_S", 0.2)
    shared.counts[0].add(30)
    loop = asyncio.get_running_loop()
    with shared.server(0):
        began = loop.time()
        served = await asyncio.gather(*(shared.greeted() for _ in range(MANY)))
        assert loop.time() - began < 0.2 * MANY / 2
    assert served == [0] * MANY


async def test_nothing_is_accepted_after_the_end(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not by one that was giving way; the socket stays with the others."""
    monkeypatch.setattr("workers.entrypoints.accepting.GIVE_WAY_S", 2.0)
    shared.counts[0].add(30)
    with ExitStack() as first:
        first.enter_context(shared.server(0))
        waiting = asyncio.create_task(shared.greeted())
        await asyncio.sleep(0.05)
        first.close()
        with shared.server(1):
            assert await waiting == 1


async def test_missing_file_descriptors_are_waited_for(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accept(2) fails for a while and the connection waits meanwhile."""
    monkeypatch.setattr("workers.entrypoints.accepting.RETRY_S", 0.05)
    with shared.server(0) as listener:
        listener.refuses = OSError(errno.EMFILE, "Too many open files")
        assert await shared.greeted() == 0
        listener.refuses = ConnectionAbortedError(errno.ECONNABORTED, "gone")
        assert await shared.greeted() == 0


def test_uvloop_takes_turns_as_well(shared: Shared) -> None:
    """The worker runs on it, and it has readers and connections of its own make."""
    uvloop.run(_taken_by_turns(shared))


async def _taken_by_turns(shared: Shared) -> None:
    shared.counts[0].add(30)
    with shared.server(0):
        with shared.server(1):
            assert await shared.greeted() == 1
        assert await shared.greeted() == 0
        served = await asyncio.gather(*(shared.greeted() for _ in range(2 * MANY)))
        assert served == [0] * 2 * MANY
