"""Nobody but Twilio's stream for an announced call gets a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from telephony.errors import MediaSocketClosed
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from tests.workers.entrypoints.app import ACCOUNT, CALL, CONNECTED, App, sign, start_message
from workers.call.entry import CallEntry, CallState
from workers.entrypoints.server import MAX_MESSAGE_BYTES, WebServer
from workers.store.calls import CallRow

POLICY = 1008


def row(**fields: Any) -> CallRow:
    given = {"state": "in_progress", "status": "in-progress"} | fields
    return CallRow(CALL, ACCOUNT, "inbound", "+15550100001", "+15550100002", **given)


@contextmanager
def media(app: App) -> Iterator[WebSocketTestSession]:
    with TestClient(app.app).websocket_connect("/media", headers=app.media_signature) as socket:
        yield socket


def closed(socket: WebSocketTestSession) -> int:
    with pytest.raises(WebSocketDisconnect) as caught:
        socket.receive_text()
    return caught.value.code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-twilio-signature": "nonsense"},
        {"x-twilio-signature": sign("https://voice.example/media")},
        {"x-twilio-signature": sign("wss://voice.example/media", token="a stranger's")},
    ],
)
def test_upgrade_without_signature_is_refused(headers: dict[str, str]) -> None:
    """The socket is never accepted, and a count is all that stays."""
    app = App()
    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(app.app).websocket_connect("/media", headers=headers),
    ):
        pass
    counted = app.counted("evercall_requests_refused_total", route="/media", reason="signature")
    assert counted == 1
    assert app.store.rows == {}


async def test_stream_with_its_ticket_is_served() -> None:
    """The pipeline gets the call's entry, the socket and the start message."""
    app = App()
    ticket = await app.announce()
    with media(app) as socket:
        socket.send_text(CONNECTED)
        socket.send_text(start_message(ticket))
        assert closed(socket) == 1000
    assert [entry.call_sid for entry in app.served.entries] == [CALL]
    assert app.active.live_streams == 0


async def no_ticket(app: App) -> str:
    await app.announce()
    return start_message(None)


async def wrong_ticket(app: App) -> str:
    await app.announce()
    return start_message("nonsense")


async def used_ticket(app: App) -> str:
    ticket = await app.announce()
    app.tickets.redeem(ticket, account_sid=app.settings.account_sid, call_sid=CALL)
    return start_message(ticket)


async def other_calls_ticket(app: App) -> str:
    await app.announce()
    return start_message(await app.announce("CA-other"))


async def other_accounts_ticket(app: App) -> str:
    return start_message(await app.announce(), account_sid="AC-other")


async def stream_that_was(app: App) -> str:
    sid = app.settings.account_sid
    app.store.save_call(row(streams=1, fence=1))
    return start_message(app.tickets.issue(account_sid=sid, call_sid=CALL))


async def finished_call(app: App) -> str:
    ticket = await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.finish(entry)
    return start_message(ticket)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (no_ticket, "ticket_missing"),
        (wrong_ticket, "ticket_malformed"),
        (used_ticket, "ticket_reused"),
        (other_calls_ticket, "ticket_foreign"),
        (other_accounts_ticket, "ticket_foreign"),
        (stream_that_was, "second"),
        (finished_call, "over"),
    ],
)
async def test_stream_without_right_is_closed(
    prepare: Callable[[App], Awaitable[str]], reason: str
) -> None:
    """Policy code, a count, and no session."""
    app = App()
    start = await prepare(app)
    with media(app) as socket:
        socket.send_text(CONNECTED)
        socket.send_text(start)
        assert closed(socket) == POLICY
    assert app.served.entries == []
    assert app.counted("evercall_streams_refused_total", reason=reason) == 1


def test_socket_that_does_not_start_is_closed() -> None:
    """Five seconds, here less, are enough for Twilio."""
    app = App(start_timeout_s=0.05)
    with media(app) as socket:
        socket.send_text(CONNECTED)
        assert closed(socket) == POLICY
    assert app.served.entries == []


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_garbage_before_start_closes_the_socket(frame: str | bytes) -> None:
    """Whatever comes first, no session is opened and the socket is closed."""
    app = App(start_timeout_s=0.05)
    with media(app) as socket:
        if isinstance(frame, bytes):
            socket.send_bytes(frame)
        else:
            socket.send_text(frame)
        assert closed(socket) in (1002, 1003, POLICY)
    assert app.served.entries == []


async def test_crash_in_a_call_leaves_it_unfinished() -> None:
    """A bug closes the socket, is counted, and Twilio's next question brings a fresh stream."""

    async def run_call(entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        raise RuntimeError("a bug")

    app = App(run_call)
    ticket = await app.announce()
    with media(app) as socket:
        socket.send_text(CONNECTED)
        socket.send_text(start_message(ticket))
        assert closed(socket) == 1011
    assert app.counted("evercall_calls_crashed_total") == 1
    entry = app.active.get(CALL)
    assert entry is not None
    assert entry.state is CallState.IN_PROGRESS
    assert not entry.stream_live


# --- over a real server -------------------------------------------------------------------------


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[WebServer]:
    async with WebServer(app.app, host="127.0.0.1", port=0) as server:
        yield server


@asynccontextmanager
async def dialled(app: App, server: WebServer) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/media"
    async with connect(url, additional_headers=app.media_signature, origin=None) as socket:
        yield socket


class Echo:
    """Serves a stream by sending every message back until the socket is gone."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.send_failed = False
        self.ended = asyncio.Event()

    async def __call__(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        try:
            while True:
                message = await socket.receive()
                await socket.send(message if isinstance(message, str) else message.hex())
        except MediaSocketClosed as error:
            self.code = error.code
        try:
            await socket.send("too late")
        except MediaSocketClosed:
            self.send_failed = True
        self.ended.set()


async def test_messages_pass_through_a_real_server() -> None:
    """Text and binary frames arrive as they are, without compression."""
    echo = Echo()
    app = App(echo)
    async with serving(app) as server, dialled(app, server) as socket:
        assert socket.response is not None
        assert "sec-websocket-extensions" not in socket.response.headers
        await socket.send(CONNECTED)
        await socket.send(start_message(await app.announce()))
        await socket.send("häuser")
        assert await asyncio.wait_for(socket.recv(), 5) == "häuser"
        await socket.send(b"\x00\xff")
        assert await asyncio.wait_for(socket.recv(), 5) == "00ff"
        await socket.close(1000)
        await asyncio.wait_for(echo.ended.wait(), 5)
    assert echo.code == 1000
    assert echo.send_failed


async def test_real_upgrade_without_signature_is_403() -> None:
    """Twilio's log shows the refusal as a failed handshake."""
    app = App()
    async with serving(app) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{server.port}/media")
        assert caught.value.response.status_code == 403


async def test_oversized_frame_ends_the_stream_and_nothing_else() -> None:
    """The socket closes with 1009; the call asks for another stream."""
    echo = Echo()
    app = App(echo)
    async with serving(app) as server, dialled(app, server) as socket:
        await socket.send(CONNECTED)
        await socket.send(start_message(await app.announce()))
        await socket.send("x")
        assert await asyncio.wait_for(socket.recv(), 5) == "x"
        await socket.send("x" * (MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(socket.recv(), 5)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        await asyncio.wait_for(echo.ended.wait(), 5)
        assert len(app.active) == 1


async def test_reset_connection_ends_the_stream() -> None:
    """A peer that vanishes without a close frame is noticed."""
    echo = Echo()
    app = App(echo)
    async with serving(app) as server, dialled(app, server) as socket:
        await socket.send(CONNECTED)
        await socket.send(start_message(await app.announce()))
        await socket.send("x")
        await asyncio.wait_for(socket.recv(), 5)
        socket.transport.abort()
        await asyncio.wait_for(echo.ended.wait(), 5)
    assert app.active.live_streams == 0


async def test_second_stream_is_refused_and_the_first_goes_on() -> None:
    """Twilio may open a second stream for a call (call-gpt #61)."""
    app = App(Echo())
    async with serving(app) as server, dialled(app, server) as first:
        await first.send(CONNECTED)
        await first.send(start_message(await app.announce()))
        await first.send("one")
        assert await asyncio.wait_for(first.recv(), 5) == "one"
        async with dialled(app, server) as second:
            await second.send(CONNECTED)
            await second.send(start_message(await app.announce()))
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(second.recv(), 5)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == POLICY
        await first.send("two")
        assert await asyncio.wait_for(first.recv(), 5) == "two"


async def test_stopping_the_server_closes_open_streams_in_time() -> None:
    """What is still open at the end is told 1012 and leaves no task behind."""
    echo = Echo()
    app = App(echo)
    before = asyncio.all_tasks()
    async with serving(app) as server:
        url = f"ws://127.0.0.1:{server.port}/media"
        socket = await connect(url, additional_headers=app.media_signature)
        await socket.send(CONNECTED)
        await socket.send(start_message(await app.announce()))
        await socket.send("x")
        await asyncio.wait_for(socket.recv(), 5)
    await asyncio.wait_for(echo.ended.wait(), 5)
    await socket.close()
    assert echo.code == 1012
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before
