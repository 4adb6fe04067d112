from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tests.benchmarks import wire

_MESSAGES = st.lists(st.binary(max_size=70_000), max_size=4)


@given(messages=_MESSAGES, cuts=st.lists(st.integers(0, 300_000)), masked=st.booleans())
def test_messages_survive_any_split(messages: list[bytes], cuts: list[int], masked: bool) -> None:
    """Frames cut anywhere come out as the messages that went in, in order."""
    frame = wire.client_frame if masked else wire.server_frame
    stream = b"".join(frame(message, wire.BINARY) for message in messages)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = wire.FrameReader()
    heard = [
        message for start, end in pairwise(edges) for message in reader.feed(stream[start:end])
    ]
    assert heard == [(wire.BINARY, message) for message in messages]


def test_frames_of_another_implementation_are_read() -> None:
    """A masked frame and a fragmented message made by the websockets library come out whole."""
    parts = [
        Frame(Opcode.TEXT, b"hello ", fin=False).serialize(mask=True),
        Frame(Opcode.CONT, b"world").serialize(mask=True),
    ]
    assert wire.FrameReader().feed(b"".join(parts)) == [(wire.TEXT, b"hello world")]


def test_handshake_answer_is_the_one_of_the_standard() -> None:
    """The accept key for the sample nonce is the one in RFC 6455, section 1.3."""
    answer = wire.upgrade_response(wire.upgrade_request("/media", "bench.example", {}))
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
