"""Stopping lets calls end, bounded, and keeps answering for them meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import httpx
import pytest

from tests.workers.entrypoints.app import ACCOUNT, CALL, App
from workers.entrypoints.server import WebServer


async def unready(port: int) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(5):
        while (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code != 503:
            pass


async def test_signal_waits_for_calls_while_still_listening() -> None:
    """After SIGTERM the worker is unready but answers until the last stream has ended."""
    app = App()
    await app.announce()
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(app.active))
        await asyncio.sleep(0)
        with app.active.stream(CALL, account_sid=ACCOUNT) as entry:
            os.kill(os.getpid(), signal.SIGTERM)
            await unready(server.port)
            assert not running.done()
            app.active.finish(entry)
        await asyncio.sleep(0.3)
        assert not running.done(), "Twilio is about to ask for the hang-up"
        await app.post("/voice/continue", query="?n=0")
        await app.post("/voice/status", CallStatus="completed")
        await asyncio.wait_for(running, 5)


async def test_second_signal_does_not_wait() -> None:
    """An operator in a hurry signals twice."""
    app = App()
    await app.announce()
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(app.active))
        await asyncio.sleep(0)
        with app.active.stream(CALL, account_sid=ACCOUNT):
            os.kill(os.getpid(), signal.SIGINT)
            await unready(server.port)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(running, 5)


async def test_draining_is_bounded() -> None:
    """A call that does not end does not keep the worker for ever."""
    app = App()
    await app.announce()
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(app.active, drain_s=0.05))
        await asyncio.sleep(0)
        with app.active.stream(CALL, account_sid=ACCOUNT):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(running, 5)


async def test_taken_port_is_an_error() -> None:
    """The operator is told, instead of a process that exits from within."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = WebServer(App().app, host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await server.__aenter__()


async def test_listens_on_ipv6() -> None:
    """Some hosts have nothing else."""
    try:
        async with WebServer(App().app, host="::1", port=0) as server, httpx.AsyncClient() as http:
            answer = await http.get(f"http://[::1]:{server.port}/healthz")
            assert answer.status_code == 200
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
