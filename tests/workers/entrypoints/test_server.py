"""Stopping lets calls end, bounded, and keeps answering for them meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import httpx
import pytest

from tests.workers.entrypoints.app import App
from workers.entrypoints.listener import listen
from workers.entrypoints.server import Drain, WebServer
from workers.fleet.drain import LAST_S
from workers.fleet.drainer import Drainer


async def unready(port: int) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(5):
        while (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code != 503:
            pass


def emptied(app: App, asked: list[float], *, limit_s: float = 300.0) -> Drain:
    """What ``evercall serve`` does on a signal, over fakes; ``asked`` gets each hand-over."""
    drainer = Drainer(
        limit_s,
        active=app.active,
        awaited=lambda: app.active.awaited,
        others_ready=lambda: int(app.active.elsewhere()),
        hand_over=lambda _sid, within_s: asked.append(within_s),
    )

    async def drain(hurry: asyncio.Event) -> None:
        app.active.draining = True
        await drainer.run(hurry)

    return drain


async def until_asked(asked: list[float]) -> float:
    async with asyncio.timeout(5):
        while not asked:  # noqa: ASYNC110  a list tells nobody
            await asyncio.sleep(0.01)
    return asked.pop()


async def test_signal_waits_for_calls_while_still_listening() -> None:
    """After SIGTERM the worker is unready but answers until the last stream has ended."""
    app = App()
    await app.announce()
    asked: list[float] = []
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(emptied(app, asked)))
        await asyncio.sleep(0)
        with app.active.stream(app.announced()) as entry:
            os.kill(os.getpid(), signal.SIGTERM)
            await unready(server.port)
            assert not running.done()
            app.active.finish(entry)
        await asyncio.sleep(0.3)
        assert not running.done(), "Twilio is about to ask for the hang-up"
        await app.post("/voice/continue", query="?n=1")
        await app.post("/voice/status", CallStatus="completed")
        await asyncio.wait_for(running, 5)
    assert asked == []


async def test_signal_hands_calls_over_where_somebody_takes_them() -> None:
    """At a safe point, for which there is time."""
    app = App(elsewhere=True)
    await app.announce()
    asked: list[float] = []
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(emptied(app, asked)))
        await asyncio.sleep(0)
        with app.active.stream(app.announced()) as entry:
            os.kill(os.getpid(), signal.SIGTERM)
            assert await until_asked(asked) > 10
            app.active.hand_over(entry)
        await asyncio.wait_for(running, 5)


async def test_second_signal_does_not_wait() -> None:
    """An operator in a hurry signals twice; calls are let go of in order all the same."""
    app = App()
    await app.announce()
    asked: list[float] = []
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(emptied(app, asked)))
        await asyncio.sleep(0)
        with app.active.stream(app.announced()) as entry:
            os.kill(os.getpid(), signal.SIGINT)
            await unready(server.port)
            os.kill(os.getpid(), signal.SIGINT)
            assert await until_asked(asked) == 0
            app.active.hand_over(entry)
        await asyncio.wait_for(running, 5)


async def test_draining_is_bounded() -> None:
    """A call that does not end does not keep the worker for ever."""
    app = App()
    await app.announce()
    asked: list[float] = []
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        running = asyncio.create_task(server.run(emptied(app, asked, limit_s=0.05)))
        await asyncio.sleep(0)
        with app.active.stream(app.announced()):
            os.kill(os.getpid(), signal.SIGTERM)
            assert await until_asked(asked) == 0
            await asyncio.wait_for(running, LAST_S + 2)


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


async def test_serves_a_socket_that_listens_already() -> None:
    """Several processes accept from one socket, which their parent has bound."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with (
        WebServer(App().app, host="ignored", port=1, listener=listener) as server,
        httpx.AsyncClient() as http,
    ):
        assert server.port == port
        assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200


async def test_stops_accepting_but_serves_what_is_open() -> None:
    """A connection that was kept gets one more answer, the last; new ones go to the others."""
    with listen("127.0.0.1", 0) as shared:
        url = f"http://127.0.0.1:{shared.getsockname()[1]}/healthz"
        own = socket.fromfd(shared.fileno(), shared.family, shared.type)
        async with (
            WebServer(App().app, host="", port=0, listener=own) as server,
            httpx.AsyncClient() as kept,
            httpx.AsyncClient(timeout=0.3) as stranger,
        ):
            assert (await kept.get(url)).headers.get("connection") != "close"
            server.stop_accepting()
            server.stop_accepting()
            with pytest.raises(httpx.ReadTimeout):
                await stranger.get(url)
            last = await kept.get(url)
            assert last.status_code == 200
            assert last.headers["connection"] == "close"
        shared.settimeout(5)
        waiting, _address = shared.accept()
        waiting.close()
