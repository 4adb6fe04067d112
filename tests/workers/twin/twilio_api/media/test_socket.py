"""The WebSocket client: what a server sees of it, and what it makes of a server's faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from workers.twin.twilio_api.media.socket import ClientSocket, Closed, HandshakeFailed

Handler = Callable[[ServerConnection], Awaitable[None]]


class Client:
    """A socket with its messages and its end collected."""

    def __init__(self, url: str) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self.socket = ClientSocket(
            url,
            {"X-Test": "1"},
            on_message=lambda data, is_text: self.messages.append((data, is_text)),
            on_closed=self.closed.set_result,
        )

    async def end(self) -> Closed:
        async with asyncio.timeout(5):
            return await self.closed


async def raw_server(answer: bytes) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            # The client is what is tested: it closes first.
            await reader.read()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def test_messages_pass_both_ways_fragments_and_pings_included() -> None:
    """Fragments are joined and pings answered without anybody's doing."""
    got: list[str | bytes] = []

    async def handle(server: ServerConnection) -> None:
        await server.send(["one ", "two"])
        await server.send(b"\x01")
        await (await server.ping())
        got.append(await server.recv())
        await server.close(1008, "no")

    async with serve(handle, "127.0.0.1", 0) as server:
        client = Client(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/media")
        await client.socket.connect(timeout_s=5, tls=None)
        client.socket.send_text("hello")
        closed = await client.end()
    assert client.messages == [(b"one two", True), (b"\x01", False)]
    assert got == ["hello"]
    assert (closed.code, closed.reason, closed.clean) == (1008, "no", True)


async def test_close_gives_no_status() -> None:
    """The server sees 1005, as after a hang-up at Twilio."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handle(server: ServerConnection) -> None:
        await server.wait_closed()
        codes.put_nowait(server.close_code)

    async with serve(handle, "127.0.0.1", 0) as server:
        client = Client(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
        await client.socket.connect(timeout_s=5, tls=None)
        await client.socket.close(timeout_s=2)
        assert await asyncio.wait_for(codes.get(), 5) == 1005
    assert not client.socket.is_connected


async def test_abort_resets_the_connection() -> None:
    """A server reading from the socket gets an error, not an end of file."""
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def handle(server: ServerConnection) -> None:
        try:
            await server.recv()
        except ConnectionClosed as error:
            ended.set_result(error.__cause__)

    async with serve(handle, "127.0.0.1", 0) as server:
        client = Client(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
        await client.socket.connect(timeout_s=5, tls=None)
        client.socket.abort()
        assert isinstance(await asyncio.wait_for(ended, 5), ConnectionResetError)
        assert not (await client.end()).clean


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 31920),
        (b"garbage\r\n\r\n", 31920),
        (b"", 31901),
    ],
)
async def test_failed_upgrade_names_twilios_code(answer: bytes, code: int) -> None:
    """Another status, garbage, or no answer at all."""
    async with await raw_server(answer) as server:
        client = Client(f"ws://127.0.0.1:{port_of(server)}/")
        with pytest.raises(HandshakeFailed) as caught:
            await client.socket.connect(timeout_s=0.3, tls=None)
        assert caught.value.code == code
        await client.end()


async def test_framing_violation_ends_the_connection() -> None:
    """A reserved opcode is a protocol error, told in the end."""

    async def handle(server: ServerConnection) -> None:
        server.transport.write(b"\x83\x00")
        await server.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        client = Client(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
        await client.socket.connect(timeout_s=5, tls=None)
        assert (await client.end()).protocol_error


async def test_slow_reading_holds_the_server_up() -> None:
    """While reading is paused nothing arrives; afterwards everything does."""

    async def handle(server: ServerConnection) -> None:
        await server.recv()
        await server.send("late")
        await server.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        client = Client(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
        await client.socket.connect(timeout_s=5, tls=None)
        client.socket.pause_reading()
        client.socket.send_text("go")
        await asyncio.sleep(0.1)
        assert client.messages == []
        client.socket.resume_reading()
        await asyncio.sleep(0.1)
        assert client.messages == [(b"late", True)]
        await client.socket.close(timeout_s=2)


@pytest.mark.parametrize("steps", range(8))
def test_connecting_can_be_given_up_at_any_step(steps: int) -> None:
    """Also on uvloop, which then closes the connection without telling anybody."""

    async def give_up() -> None:
        async with await raw_server(b"") as server:
            client = Client(f"ws://127.0.0.1:{port_of(server)}/")
            connecting = asyncio.create_task(client.socket.connect(timeout_s=5, tls=None))
            for _ in range(steps):
                await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait({connecting})
            async with asyncio.timeout(2):
                await client.socket.close(timeout_s=1)
            assert not client.socket.is_connected

    uvloop.run(give_up())
