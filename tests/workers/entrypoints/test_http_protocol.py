"""Strangers cannot keep connections to themselves; requests that are answered are left alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.workers.entrypoints.app import App
from workers.entrypoints import http_protocol, listener, webhooks
from workers.entrypoints.server import WebServer

UPGRADE = (
    b"GET /media HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "REQUEST_S", 0.2)
    monkeypatch.setattr(webhooks, "BODY_TIMEOUT_S", 0.05)


@pytest.mark.parametrize(
    ("opening", "drip"),
    [
        (b"", b""),
        (b"", b"P"),
        (b"POST /voice HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n"),
        (b"POST /voice HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"POST /voice HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEALTH + b"GET /hea", b"l"),
        (UPGRADE + b"Content-Length: 5\r\n\r\n", b""),
    ],
    ids=["idle", "method", "headers", "body", "chunks", "second request", "upgrade"],
)
async def test_connection_without_a_request_is_cut(opening: bytes, drip: bytes) -> None:
    """However little of one comes, and however steadily."""
    async with connected(App().app) as (reader, writer):
        writer.write(opening)
        dripping = asyncio.create_task(drip_into(writer, drip))
        try:
            # Cut, with or without a word: either will do.
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    while await reader.read(4096):
                        pass
        finally:
            dripping.cancel()


async def test_slow_answer_is_waited_for() -> None:
    """A request that is being worked on has handlers with time-outs of their own."""

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.7)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with connected(slow) as (reader, writer):
        writer.write(HEALTH)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 204")


async def test_busy_connection_is_kept() -> None:
    """A proxy sends one request after another on it."""
    async with connected(App().app) as (reader, writer):
        for _ in range(10):
            writer.write(HEALTH)
            assert b"ok\n" in await asyncio.wait_for(reader.readuntil(b"ok\n"), 5)
            await asyncio.sleep(0.06)


async def test_media_socket_is_left_alone() -> None:
    """Once upgraded, a connection has no requests any more."""
    app = App(start_timeout_s=0.8)
    async with connected(app.app) as (reader, writer):
        signature = app.media_signature["x-twilio-signature"].encode()
        writer.write(UPGRADE + b"X-Twilio-Signature: " + signature + b"\r\n\r\n")
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.6)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux does it")
async def test_peer_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its socket, and what waits in it, would stay for as long as it likes."""
    monkeypatch.setattr(listener, "STUCK_PEER_MS", 500)
    given_up = asyncio.Event()

    async def flood(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": bytes(2**24), "more_body": True})
        given_up.set()

    async with WebServer(flood, host="127.0.0.1", port=0) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(HEALTH)
            await asyncio.wait_for(given_up.wait(), 10)


@asynccontextmanager
async def connected(
    app: ASGIApp,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with WebServer(app, host="127.0.0.1", port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def drip_into(writer: asyncio.StreamWriter, drip: bytes) -> None:
    while drip:
        writer.write(drip)
        await asyncio.sleep(0.02)
