"""The short way for audio: the same messages as the library's, whatever the network does."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
import trustme
import uvloop
from google.genai.live import AsyncSession
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from agent import events
from agent.live import connection as connection_module
from agent.live.codec import decode
from agent.live.connection import DirectConnection
from agent.live.models import profile_for
from agent.live.websocket import LiveSocket
from tests.fakes.transport import FakeTransport


async def opened() -> tuple[LiveSocket, FakeTransport, ServerProtocol]:
    """A socket after its handshake, and the library's server on the other side."""
    socket = LiveSocket(ClientProtocol(parse_uri("ws://live.example/")), ping_interval=None)
    transport = FakeTransport()
    server = ServerProtocol()
    socket.connection_made(transport)
    handshake = asyncio.create_task(socket.handshake())
    await asyncio.sleep(0)
    server.receive_data(transport.take())
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]  # the first is a Request
    socket.data_received(b"".join(server.data_to_send()))
    await handshake
    return socket, transport, server


def frames_of(message: bytes, opcode: Opcode, *, cut: bool) -> bytes:
    if not cut or len(message) < 2:
        return Frame(opcode, message).serialize(mask=False)
    half = len(message) // 2
    return Frame(opcode, message[:half], fin=False).serialize(mask=False) + Frame(
        Opcode.CONT, message[half:]
    ).serialize(mask=False)


SIZES = st.sampled_from([0, 1, 125, 126, 127, 1_500, 65_535, 65_536])


@given(
    messages=st.lists(
        st.tuples(SIZES, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.booleans()), max_size=5
    ),
    cuts=st.lists(st.integers(0, 200_000), max_size=4),
    ping=st.booleans(),
)
def test_messages_come_whole_and_in_order(
    messages: list[tuple[int, Opcode, bool]], cuts: list[int], ping: bool
) -> None:
    """Fragments, control frames between them and any split make no difference."""

    async def run() -> None:
        socket, transport, _ = await opened()
        stream = b""
        for size, opcode, fragmented in messages:
            stream += frames_of(bytes([size % 251]) * size, opcode, cut=fragmented)
            if ping:
                stream += Frame(Opcode.PING, b"there?").serialize(mask=False)
        edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        for start, end in pairwise(edges):
            socket.data_received(stream[start:end])
        heard = [await socket.recv(decode=False) for _ in messages]
        assert heard == [bytes([size % 251]) * size for size, _, _ in messages]
        assert transport.written.count(b"\x8a\x86") == ping * len(messages)

    asyncio.run(run())


@pytest.mark.parametrize("cut", range(1, 12))
async def test_rest_of_a_frame_is_not_read_as_a_frame(cut: int) -> None:
    """Also where its length, behind the cut, looks like the head of a short message."""
    socket, _, _ = await opened()
    long, short = b"x" * 0x8105, b"y" * 300
    data = frames_of(long, Opcode.BINARY, cut=False)
    for piece in (data[:cut], data[cut:], frames_of(short, Opcode.BINARY, cut=False)):
        socket.data_received(piece)
    assert [await socket.recv(decode=False) for _ in range(2)] == [long, short]


async def test_whole_frame_goes_one_by_one_through_the_short_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is nearly all traffic does not meet the library's parser."""
    socket, _, _ = await opened()
    monkeypatch.setattr(socket.protocol, "receive_data", lambda _data: pytest.fail("the long way"))
    socket.data_received(frames_of(b"{" + b" " * 1_400 + b"}", Opcode.BINARY, cut=False))
    assert len(await socket.recv(decode=False)) == 1_402


@pytest.mark.parametrize("size", [1, 125, 126, 900, 65_535, 65_536])
async def test_sent_messages_are_read_by_another_implementation(size: int) -> None:
    """Every size arrives as one text message, each under a mask of its own.

    Small ones and large ones are the library's to send.
    """
    socket, transport, server = await opened()
    message = b"x" * size
    masks = set()
    for _ in range(3):
        written = socket.write(message)
        assert written is (126 <= size <= 65_535)
        if not written:
            await socket.send(message, text=True)
        data = transport.take()
        masks.add(data[-size - 4 : -size])
        server.receive_data(data)
    assert len(masks) == 3
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    assert [(frame.opcode, bytes(frame.data)) for frame in frames] == [(Opcode.TEXT, message)] * 3


async def test_masks_do_not_run_out() -> None:
    """After the random bytes of one system call there are others."""
    socket, transport, _ = await opened()
    masks = set()
    for _ in range(1_500):
        assert socket.write(bytes(200))
        masks.add(transport.take()[4:8])
    assert len(masks) > 1_490


async def test_socket_that_has_to_wait_writes_nothing() -> None:
    """What is sent by way of the library then waits its turn."""
    socket, transport, _ = await opened()
    socket.pause_writing()
    assert not socket.write(bytes(200))
    socket.resume_writing()
    assert not transport.written
    assert socket.write(bytes(200))


async def test_closed_socket_refuses_audio() -> None:
    """It writes nothing, and ``send`` says why."""
    socket, transport, server = await opened()
    server.send_close(1011, "internal error")
    socket.data_received(b"".join(server.data_to_send()))
    assert socket.state is State.CLOSING
    transport.close()
    socket.eof_received()
    socket.connection_lost(None)
    assert not socket.write(bytes(200))
    with pytest.raises(ConnectionClosedError):
        await socket.send(bytes(200), text=True)


async def test_listener_is_offered_what_the_reader_waits_for() -> None:
    """What it refuses is received in its turn, and so is all that comes before it was."""
    socket, _, _ = await opened()
    offered: list[bytes] = []

    def take(message: bytes) -> bool:
        offered.append(message)
        return message[:1] != b"n"

    def come(*messages: bytes, cut: bool = False) -> None:
        pieces = (frames_of(message, Opcode.BINARY, cut=cut) for message in messages)
        socket.data_received(b"".join(pieces))

    one, no, two, three = (letter * 300 for letter in (b"1", b"n", b"2", b"3"))
    socket.listen(take)
    come(one)
    assert offered == []
    assert await socket.recv(decode=False) == one
    reader = asyncio.create_task(socket.recv(decode=False))
    await asyncio.sleep(0)
    come(one, two)
    assert offered == [one, two]
    assert not reader.done()
    come(no, two)
    come(three)
    assert offered == [one, two, no]
    assert [await reader, await socket.recv(), await socket.recv()] == [no, two, three]
    reader = asyncio.create_task(socket.recv(decode=False))
    await asyncio.sleep(0)
    # What goes the library's way is not offered, and not overtaken.
    come(one, cut=True)
    come(two)
    assert offered == [one, two, no]
    assert [await reader, await socket.recv()] == [one, two]


async def test_what_a_connection_is_offered_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is refused, and then received."""
    socket, _, _ = await opened()
    profile = profile_for("gemini-3.8-live", vertexai=False)
    session = cast(AsyncSession, SimpleNamespace(_ws=socket))
    context = cast(AbstractAsyncContextManager[AsyncSession], nullcontext(session))
    connection = DirectConnection(session, context, profile=profile, vertexai=False)
    read: list[bytes] = []

    def decode_one(message: bytes) -> list[events.LiveEvent]:
        read.append(message)
        return decode(message)

    monkeypatch.setattr(connection_module, "decode", decode_one)
    taken: list[events.AudioReceived] = []

    def take(event: events.AudioReceived) -> bool:
        taken.append(event)
        return len(taken) == 1

    connection.listen(take)
    reader = asyncio.create_task(connection.receive())
    await asyncio.sleep(0)
    blob = {"mimeType": "audio/pcm;rate=24000", "data": "AAAA" * 80}
    audio = json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}).encode()
    words = b'{"serverContent": {"outputTranscription": {"text": "%s"}}}' % (b"word " * 30)
    for message in (audio, audio, words, words):
        socket.data_received(frames_of(message, Opcode.BINARY, cut=False))
    assert await reader == taken[1:]
    assert [type(each) for each in await connection.receive()] == [events.OutputTranscribed]
    assert read == [audio, audio, words]


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server of this machine, and of who trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("encrypted", [True, False])
def test_connections_of_a_loop_share_what_they_read_into(
    encrypted: bool, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Nothing of one is heard in the other, also of what is larger than a read; then both close."""
    server_tls, client_tls = contexts() if encrypted else (None, None)
    sizes = (1, 1_500, 20_000, 65_536, 200_000, 126)

    async def speak(socket: ServerConnection) -> None:
        letter = await socket.recv(decode=False)
        for size in sizes:
            await socket.send(letter * size)
        await socket.wait_closed()

    async def run() -> None:
        async with serve(speak, "127.0.0.1", 0, ssl=server_tls) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"{'wss' if encrypted else 'ws'}://127.0.0.1:{port}"
            async with (
                connect(url, ssl=client_tls, create_connection=LiveSocket) as one,
                connect(url, ssl=client_tls, create_connection=LiveSocket) as other,
            ):
                readers = [socket.transport.get_protocol() for socket in (one, other)]
                assert all(isinstance(each, asyncio.BufferedProtocol) for each in readers)
                for socket, letter in ((one, b"a"), (other, b"b")):
                    await socket.send(letter, text=True)
                for size in sizes:
                    assert await one.recv(decode=False) == b"a" * size
                    assert await other.recv(decode=False) == b"b" * size
            assert one.close_code == other.close_code == 1000

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())
