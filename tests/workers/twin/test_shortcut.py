from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from workers.twin.shortcut import FIN_BINARY, FIN_TEXT, Shortcut, framed

_SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000])
_OPCODES = st.sampled_from([Opcode.TEXT, Opcode.BINARY])


@dataclass
class Reader:
    """A shortcut before the library's protocol: what came out of both, in order."""

    masked: bool
    wants: bool = True
    messages: list[tuple[bytes, bool]] = field(default_factory=list)
    short: int = 0

    def __post_init__(self) -> None:
        self.protocol = Protocol(SERVER if self.masked else CLIENT, state=OPEN, max_size=None)
        self._parts: list[bytes] = []
        self._is_text = False
        self.shortcut = Shortcut(
            self.protocol, masked=self.masked, on_message=self._message, on_other=self._other
        )

    def _message(self, content: bytes, is_text: bool) -> bool:
        if self.wants:
            self.short += 1
            self.messages.append((content, is_text))
        return self.wants

    def _other(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._is_text = event.opcode is Opcode.TEXT
            elif event.opcode is not Opcode.CONT:
                continue
            self._parts.append(bytes(event.data))
            if event.fin:
                self.messages.append((b"".join(self._parts), self._is_text))
                self._parts.clear()


def _written(frames: list[Frame], *, masked: bool) -> bytes:
    return b"".join(frame.serialize(mask=masked) for frame in frames)


@st.composite
def _traffic(draw: st.DrawFn) -> tuple[list[Frame], list[tuple[bytes, bool]]]:
    """Frames as a peer may send them, and the messages that they are."""
    frames: list[Frame] = []
    messages: list[tuple[bytes, bool]] = []
    for _ in range(draw(st.integers(1, 6))):
        opcode = draw(_OPCODES)
        content = draw(st.binary(min_size=1, max_size=3)) * draw(_SIZES)
        kind = draw(st.sampled_from(["whole", "whole", "fragments", "ping"]))
        if kind == "ping":
            frames.append(Frame(Opcode.PING, content[:125]))
            continue
        if kind == "whole":
            frames.append(Frame(opcode, content))
        else:
            half = len(content) // 2
            frames.append(Frame(opcode, content[:half], fin=False))
            frames.append(Frame(Opcode.PONG, b""))
            frames.append(Frame(Opcode.CONT, content[half:]))
        messages.append((content, opcode is Opcode.TEXT))
    return frames, messages


@given(_traffic(), st.booleans(), st.booleans(), st.data())
def test_any_frames_cut_anywhere_are_the_same_messages_in_order(
    traffic: tuple[list[Frame], list[tuple[bytes, bool]]],
    masked: bool,
    wants: bool,
    data: st.DataObject,
) -> None:
    """However the network cuts it, and whoever reads it, all arrives once and in order."""
    frames, messages = traffic
    written = _written(frames, masked=masked)
    cuts = data.draw(st.lists(st.integers(0, len(written)), max_size=8).map(sorted))
    reader = Reader(masked, wants)
    for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True):
        reader.shortcut.receive(written[start:end])
    assert reader.messages == messages
    assert reader.protocol.parser_exc is None


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_garbage_fails_as_it_does_without_the_short_way(pieces: list[bytes], masked: bool) -> None:
    """What is wrong with bytes that are no frames is found, and told in the library's words."""
    reader = Reader(masked)
    alone = Protocol(SERVER if masked else CLIENT, state=OPEN, max_size=None)
    for piece in pieces:
        reader.shortcut.receive(piece)
    reader.shortcut.end()
    alone.receive_data(b"".join(pieces))
    alone.events_received()
    assert str(reader.protocol.parser_exc) == str(alone.parser_exc)
    assert reader.protocol.state is alone.state


def test_usual_messages_never_meet_the_library() -> None:
    """A whole message of up to 64 KiB is read in one step, wherever the network cuts it."""
    reader = Reader(masked=True)
    written = _written([Frame(Opcode.TEXT, b"x" * 800)] * 3, masked=True)
    reader.shortcut.receive(written[:1000])
    reader.shortcut.receive(written[1000:])
    assert reader.short == 3
    assert not reader.protocol.reader.buffer


def test_a_frame_that_is_not_legal_is_told_at_once() -> None:
    """One that is not masked although it has to be closes the connection before it is whole."""
    reader = Reader(masked=True)
    reader.shortcut.receive(_written([Frame(Opcode.TEXT, b"x" * 800)], masked=False)[:4])
    assert str(reader.protocol.parser_exc) == "incorrect masking"


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("first", [FIN_TEXT, FIN_BINARY])
def test_a_message_is_framed_as_the_library_reads_it(size: int, masked: bool, first: int) -> None:
    """A frame of ours says to the library what it was made of."""
    frame = framed(b"y" * size, first, masked=masked)
    assert frame is not None
    protocol = Protocol(SERVER if masked else CLIENT, state=OPEN)
    protocol.receive_data(frame)
    (event,) = protocol.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, bytes(event.data)) == (first & 0x0F, b"y" * size)


def test_a_large_message_is_left_to_the_library() -> None:
    """More than 64 KiB have another form."""
    assert framed(b"y" * 65_536, FIN_TEXT, masked=True) is None
