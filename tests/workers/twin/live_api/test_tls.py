"""The server's TLS, against the standard library's own client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trustme

from workers.twin.live_api import tls
from workers.twin.live_api.tls import TlsTransport


class Echo(asyncio.Protocol):
    """Gives back what it hears, and says goodbye when asked for it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.heard = b""
        self.ends = 0
        self.ready = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.tls = TlsTransport(
            cast("asyncio.Transport", transport),
            self._context,
            on_ready=self.ready.set,
            on_data=self.hear,
            on_eof=self.end,
        )

    def data_received(self, data: bytes) -> None:
        self.tls.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.tls.lost()
        self.lost.set()

    def hear(self, data: bytes) -> None:
        self.heard += data
        self.tls.write(data)
        if self.heard.endswith(b"goodbye"):
            self.tls.close()

    def end(self) -> None:
        self.ends += 1


@asynccontextmanager
async def served() -> AsyncIterator[tuple[list[Echo], int, ssl.SSLContext]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    echoes: list[Echo] = []

    def made() -> Echo:
        echoes.append(Echo(context))
        return echoes[-1]

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    try:
        yield echoes, server.sockets[0].getsockname()[1], client
    finally:
        server.close()


async def test_whatever_size_comes_back_whole() -> None:
    """A record, many records, and one cut by the network are the same bytes, in order."""
    async with served() as (echoes, port, client), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        sent = bytes(range(256)) * 2_000
        for size in (1, 900, 16_384, 16_385, len(sent)):
            writer.write(sent[:size])
            assert await reader.readexactly(size) == sent[:size]
        writer.close()
        await echoes[0].lost.wait()
        assert echoes[0].ends == 1


async def test_it_ends_when_both_have_said_so() -> None:
    """What was written before the end arrives; the end is one of TLS and no cut."""
    async with served() as (echoes, port, client), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"goodbye")
        assert await reader.read() == b"goodbye"
        writer.close()
        await echoes[0].lost.wait()


async def test_whoever_speaks_no_tls_is_turned_away() -> None:
    """Plain HTTP, and somebody who says nothing at all."""
    async with served() as (echoes, port, _), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        await echoes[0].lost.wait()
        assert not echoes[0].tls.ready
        writer.close()


async def test_a_handshake_that_does_not_end_is_broken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody stays connected without having shaken hands."""
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.05)
    async with served() as (echoes, port, _), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        await echoes[0].lost.wait()
        writer.close()


async def test_a_peer_that_does_not_answer_the_end_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing is bounded, whatever the other side does."""
    monkeypatch.setattr(tls, "SHUTDOWN_S", 0.05)
    async with served() as (echoes, port, client), asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        await echoes[0].ready.wait()
        cast("asyncio.Transport", writer.transport).pause_reading()
        echoes[0].tls.close()
        await echoes[0].lost.wait()
        writer.transport.abort()
