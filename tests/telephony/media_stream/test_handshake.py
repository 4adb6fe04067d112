from __future__ import annotations

import pytest

from telephony.errors import MediaSocketClosed, StreamRejected
from telephony.media_stream.handshake import receive_start
from tests.fakes.media_socket import (
    CALL_SID,
    FakeMediaSocket,
    connected,
    media,
    start,
)


async def rejection(socket: FakeMediaSocket, timeout_s: float = 1.0) -> StreamRejected:
    with pytest.raises(StreamRejected) as caught:
        await receive_start(socket, timeout_s=timeout_s)
    return caught.value


async def test_a_stream_starts() -> None:
    """``connected`` and ``start`` give the call's identity and the ticket."""
    socket = FakeMediaSocket()
    socket.feed(connected())
    socket.feed(start(ticket="t-1"))
    started = await receive_start(socket)
    assert started.start.call_sid == CALL_SID
    assert started.ticket == "t-1"
    assert started.protocol.start is started.start


async def test_messages_not_known_yet_do_not_disturb() -> None:
    """Twilio may add messages before ``start``."""
    socket = FakeMediaSocket()
    socket.feed(connected())
    socket.feed({"event": "weather"})
    socket.feed(start())
    assert (await receive_start(socket)).ticket is None


async def test_no_start_in_time_is_refused() -> None:
    """A socket that says nothing is closed as a matter of policy."""
    socket = FakeMediaSocket()
    socket.feed(connected())
    refused = await rejection(socket, timeout_s=0.01)
    assert refused.close_code == 1008


@pytest.mark.parametrize("message", ["garbage", b"\x00\xff", "{}", "x" * 1_000_000])
async def test_garbage_before_start_is_refused(message: str | bytes) -> None:
    """A stranger gets no second try."""
    socket = FakeMediaSocket()
    socket.feed(message)
    assert (await rejection(socket)).close_code == 1002


async def test_audio_before_start_is_refused() -> None:
    """The order is part of the protocol."""
    socket = FakeMediaSocket()
    socket.feed(connected())
    socket.feed(media(bytes(160), 2, 1, 0))
    assert (await rejection(socket)).close_code == 1002


async def test_a_flood_of_unknown_messages_is_refused() -> None:
    """Little is read from a stranger."""
    socket = FakeMediaSocket()
    for _ in range(100):
        socket.feed({"event": "weather"})
    assert (await rejection(socket)).close_code == 1008


async def test_audio_we_cannot_decode_is_refused() -> None:
    """Linear audio or a missing track is refused, not played as noise."""
    for unfit in (start(encoding="audio/l16"), start(tracks=("outbound",))):
        socket = FakeMediaSocket()
        socket.feed(connected())
        socket.feed(unfit)
        assert (await rejection(socket)).close_code == 1003


async def test_a_close_before_start_is_told() -> None:
    """A socket that goes away is refused with its own code."""
    socket = FakeMediaSocket()
    socket.feed(MediaSocketClosed(1001))
    assert (await rejection(socket)).close_code == 1001
