"""The balancer carries what it is given, and nothing of a backend that has gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.fakes.balancer import Balancer
from tests.scenarios.rig import until

HEAD = b"GET %s HTTP/1.1\r\nhost: us\r\nconnection: keep-alive\r\n\r\n"
STREAM = b"GET /media HTTP/1.1\r\nhost: us\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"


class Server:
    """Answers ``/readyz``, and everything else with its name and the head it got."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/readyz" in head:
                status = b"200 OK" if self.ready else b"503 No"
                writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
                writer.close()
                return
            writer.write(self.name.encode() + b"|" + head)
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    def reset(self) -> None:
        """Break off everything, as the kernel does for a process that had not read all."""
        for writer in self.open:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@asynccontextmanager
async def balanced(
    *names: str, seed: int | None = None, per_request: bool = True
) -> AsyncIterator[tuple[Balancer, dict[str, Server]]]:
    servers = {name: Server(name) for name in names}
    async with contextlib.AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer(seed=seed, per_request=per_request))
        for name, server in servers.items():
            listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            await stack.enter_async_context(listener)
            balancer.add(name, listener.sockets[0].getsockname()[1])
        await until(lambda: all(one.ready for one in balancer.backends.values()))
        yield balancer, servers
        # Else closing the listeners waits for them (3.12.1 and later).
        for server in servers.values():
            for writer in server.open:
                writer.close()


async def talk(
    balancer: Balancer, head: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    port = int(balancer.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def asked(balancer: Balancer, path: bytes = b"/voice") -> str:
    _, writer, answer = await talk(balancer, HEAD % path)
    writer.close()
    return answer.partition(b"|")[0].decode()


async def test_connections_are_spread_over_those_that_are_ready() -> None:
    """One after the other; who says that they are not ready gets none until they are again."""
    async with balanced("a", "b", "c") as (balancer, servers):
        assert sorted([await asked(balancer) for _ in range(3)]) == ["a", "b", "c"]
        servers["b"].ready = False
        await until(lambda: not balancer.backends["b"].ready)
        assert {await asked(balancer) for _ in range(4)} == {"a", "c"}
        assert balancer.went_to("/voice") == [one.backend for one in balancer.routed]


async def test_seed_repeats_the_choice() -> None:
    """A failure at random replays exactly."""
    chosen = []
    for _ in range(2):
        async with balanced("a", "b", "c", seed=7) as (balancer, _servers):
            chosen.append([await asked(balancer) for _ in range(8)])
    assert chosen[0] == chosen[1]


async def test_all_are_asked_where_none_is_ready() -> None:
    """Calls of a deployment whose last worker drains still have to be answered for."""
    async with balanced("a") as (balancer, servers):
        servers["a"].ready = False
        await until(lambda: not balancer.backends["a"].ready)
        assert await asked(balancer) == "a"


async def test_next_backend_is_tried_where_one_takes_no_connection() -> None:
    """A worker that died a moment ago counts as ready until it is asked again."""
    async with balanced("a") as (balancer, _):
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        balancer.add("dead", port).ready = True
        assert {await asked(balancer) for _ in range(3)} == {"a"}


async def test_steering_is_by_path_and_as_often_as_asked_for() -> None:
    """A test says which worker a stream lands on."""
    async with balanced("a", "b") as (balancer, _):
        balancer.only("b", "/media", times=2)
        balancer.only("a", "/voice")
        assert [await asked(balancer, b"/media") for _ in range(2)] == ["b", "b"]
        assert {await asked(balancer) for _ in range(3)} == {"a"}
        balancer.anyone()
        assert {await asked(balancer) for _ in range(2)} == {"a", "b"}


async def test_requests_ask_for_their_connection_to_be_closed_and_streams_do_not() -> None:
    """Each webhook is decided anew, though the client would keep its connection."""
    async with balanced("a") as (balancer, _):
        _, request, answer = await talk(balancer, HEAD % b"/voice")
        assert b"connection: close" in answer
        assert b"keep-alive" not in answer
        _, stream, answer = await talk(balancer, STREAM)
        assert b"connection: Upgrade" in answer
        request.close()
        stream.close()


async def test_kept_connections_are_closed_while_nothing_is_under_way() -> None:
    """A stream stays."""
    async with balanced("a", per_request=False) as (balancer, _):
        kept, request, answer = await talk(balancer, HEAD % b"/voice")
        assert b"keep-alive" in answer
        stream, out, _answer = await talk(balancer, STREAM)
        assert balancer.close_idle() == 1
        assert await asyncio.wait_for(kept.read(), 2) == b""
        out.write(b"still here")
        assert await asyncio.wait_for(stream.read(10), 2) == b"still here"
        request.close()
        out.close()


async def test_backend_that_breaks_off_reaches_the_far_end_at_once() -> None:
    """A killed worker's RST becomes one; its FIN does not."""
    async with balanced("a") as (balancer, servers):
        reader, _writer, _answer = await talk(balancer, STREAM)
        servers["a"].reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 2)
        reader, writer, _answer = await talk(balancer, STREAM)
        servers["a"].open[-1].write_eof()
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        await until(lambda: not balancer.open_connections)


async def test_nothing_is_left_of_what_was_open() -> None:
    """A test that ends in the middle leaves no connection behind."""
    async with balanced("a") as (balancer, _):
        talks = [await talk(balancer, STREAM) for _ in range(3)]
        assert balancer.open_connections == len(talks)
        await balancer.__aexit__()
        assert not balancer.open_connections
        assert not balancer.backends
        for _, writer, _ in talks:
            writer.close()
