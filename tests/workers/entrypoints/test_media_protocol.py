"""The short way for a media stream's messages: the same messages as uvicorn's own."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri
from websockets.utils import apply_mask

from tests.fakes.transport import FakeTransport
from workers.entrypoints.media_protocol import AT_ONCE, MediaProtocol


class Socket:
    """A protocol after its handshake, the library's client on the other side, the app between."""

    def __init__(self) -> None:
        config = Config(self.app, interface="asgi3", ws_per_message_deflate=False, log_config=None)
        config.load()
        self.transport = FakeTransport()
        self.protocol = MediaProtocol(config, ServerState(), {})
        self.client = ClientProtocol(parse_uri("ws://voice.example/media"))
        self.ready = asyncio.Event()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.scope = scope
        await send({"type": "websocket.accept"})
        self.receive, self.send = receive, send
        self.ready.set()
        await asyncio.Event().wait()

    async def open(self) -> Socket:
        self.protocol.connection_made(self.transport)
        self.client.send_request(self.client.connect())
        self.protocol.data_received(b"".join(self.client.data_to_send()))
        async with asyncio.timeout(5):
            await self.ready.wait()
        self.client.receive_data(self.transport.take())
        self.client.events_received()
        return self

    def close(self) -> None:
        self.protocol.connection_lost(None)
        for task in self.protocol.tasks:
            task.cancel()

    def heard(self) -> list[tuple[Opcode, bytes]]:
        """What the client has been sent."""
        self.client.receive_data(self.transport.take())
        events = self.client.events_received()
        return [(each.opcode, bytes(each.data)) for each in events if isinstance(each, Frame)]


def masked(message: bytes, opcode: Opcode = Opcode.TEXT, *, cut: bool = False) -> bytes:
    if not cut or len(message) < 2:
        return Frame(opcode, message).serialize(mask=True)
    half = len(message) // 2
    return Frame(opcode, message[:half], fin=False).serialize(mask=True) + Frame(
        Opcode.CONT, message[half:]
    ).serialize(mask=True)


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65_535, 65_536]), st.booleans()),
        max_size=5,
    ),
    cuts=st.lists(st.integers(0, 200_000), max_size=4),
)
def test_messages_come_whole_and_in_order(
    messages: list[tuple[int, bool]], cuts: list[int]
) -> None:
    """Fragments and any split make no difference."""

    async def run() -> None:
        socket = await Socket().open()
        stream = b"".join(masked(b"x" * size, cut=fragmented) for size, fragmented in messages)
        edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        for start, end in pairwise(edges):
            socket.protocol.data_received(stream[start:end])
        heard = [(await socket.receive())["text"] for _ in messages]
        socket.close()
        assert heard == ["x" * size for size, _ in messages]

    asyncio.run(run())


@pytest.mark.parametrize("cut", range(1, 20))
async def test_rest_of_a_frame_is_not_read_as_a_frame(cut: int) -> None:
    """Also where its mask, behind the cut, looks like the head of an empty message."""
    socket = await Socket().open()
    mask = bytes((0x81, 0x80, 1, 2))
    frame = bytes((0x81, 0x80 | 126, 0, 200)) + mask + apply_mask(b"x" * 200, mask)
    for piece in (frame[:cut], frame[cut:], masked(b"y" * 300)):
        socket.protocol.data_received(piece)
    assert (await socket.receive())["text"] == "x" * 200
    assert (await socket.receive())["text"] == "y" * 300
    socket.close()


async def test_whole_frame_goes_through_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is nearly all traffic does not meet the library's parser."""
    socket = await Socket().open()
    monkeypatch.setattr(
        socket.protocol.conn, "receive_data", lambda _data: pytest.fail("the long way")
    )
    socket.protocol.data_received(masked(b"y" * 300))
    assert (await socket.receive())["text"] == "y" * 300
    socket.close()


async def test_binary_and_bad_text_are_left_to_the_library() -> None:
    """Binary stays binary; text that is no UTF-8 closes with 1007 (RFC 6455, section 8.1)."""
    socket = await Socket().open()
    socket.protocol.data_received(masked(b"\xff" * 300, Opcode.BINARY))
    assert (await socket.receive())["bytes"] == b"\xff" * 300
    socket.protocol.data_received(masked(b"\xff" * 300))
    ((opcode, payload),) = socket.heard()
    assert (opcode, payload[:2]) == (Opcode.CLOSE, (1007).to_bytes(2, "big"))
    socket.close()


async def test_reading_stops_while_nobody_takes_messages() -> None:
    """A call that is held up holds up its socket, and goes on where it was."""
    socket = await Socket().open()
    sent = 0
    for sent in range(100):
        if not socket.transport.reading:
            break
        socket.protocol.data_received(masked(b"%03d" % sent * 50))
    assert 0 < sent < 99
    heard = [(await socket.receive())["text"][:3] for _ in range(sent)]
    assert heard == [f"{number:03d}" for number in range(sent)]
    assert socket.transport.reading
    socket.close()


@pytest.mark.parametrize("size", [1, 125, 126, 400, 65_535, 65_536])
async def test_sent_messages_are_read_by_another_implementation(size: int) -> None:
    """Every size arrives as one text message, and only large ones are left to uvicorn."""
    socket = await Socket().open()
    assert socket.protocol.write("z" * size) is (size <= 65_535)
    await socket.send({"type": "websocket.send", "text": "y" * size})
    heard = [b"z" * size] * (size <= 65_535) + [b"y" * size]
    assert socket.heard() == [(Opcode.TEXT, message) for message in heard]
    socket.close()


async def test_application_is_told_how_to_write_and_to_listen() -> None:
    """By an extension of ASGI, which other servers do not have."""
    socket = await Socket().open()
    at_once = {"write": socket.protocol.write, "listen": socket.protocol.listen}
    assert socket.scope["extensions"][AT_ONCE] == at_once
    socket.close()


async def test_nothing_is_written_that_would_have_to_wait() -> None:
    """It is the sender's to wait for a peer that reads too slowly."""
    socket = await Socket().open()
    socket.protocol.pause_writing()
    assert not socket.protocol.write("z" * 300)
    assert socket.heard() == []
    socket.protocol.resume_writing()
    assert socket.protocol.write("z" * 300)
    socket.close()


async def test_nothing_is_sent_to_a_peer_that_is_gone() -> None:
    """The application is told, as by uvicorn."""
    socket = await Socket().open()
    socket.close()
    assert not socket.protocol.write("z" * 300)
    with pytest.raises(OSError):  # noqa: PT011  uvicorn's has no text
        await socket.send({"type": "websocket.send", "text": "z" * 300})


async def test_listener_is_offered_what_nothing_waits_before() -> None:
    """What it refuses is received in its turn, and so is all that comes behind, until it is."""
    socket = await Socket().open()
    offered: list[str] = []

    def take(text: str) -> bool:
        offered.append(text)
        return text != "no"

    socket.scope["extensions"][AT_ONCE]["listen"](take)
    socket.protocol.data_received(b"".join(map(masked, (b"one", b"no", b"two"))))
    socket.protocol.data_received(masked(b"three"))
    assert offered == ["one", "no"]
    assert [(await socket.receive())["text"] for _ in range(3)] == ["no", "two", "three"]
    socket.protocol.data_received(masked(b"four") + masked(b"five", cut=True) + masked(b"six"))
    assert offered == ["one", "no", "four"]
    assert [(await socket.receive())["text"] for _ in range(2)] == ["five", "six"]
    socket.close()
