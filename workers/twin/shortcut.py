"""A short way past the WebSocket library for usual messages: whole frames of up to 64 KiB.

Nearly all that goes over a socket here is one such frame at a time, fifty a second each way and
call. The library takes each through a generator and several objects; here it is read or written in
one step. Everything else goes the library's way, whole and in order: handshakes, control frames,
fragments, large ones, whatever is not legal. Format: RFC 6455, section 5.2.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from websockets.protocol import CONNECTING, OPEN, Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # not built for this platform
    from websockets.utils import apply_mask

FIN_TEXT: Final = 0x81
FIN_BINARY: Final = 0x82
_USUAL: Final = (FIN_TEXT, FIN_BINARY)
_MASKED: Final = 0x80
_SIZE: Final = 0x7F
_SIZE_IN_2_BYTES: Final = 126
_SIZE_IN_8_BYTES: Final = 127
_MOST_BYTES: Final = 0xFFFF
_MASK_BYTES: Final = 4


class Shortcut:
    """Reads what one socket delivers, from its first byte on.

    Args:
        protocol: The library's, which would read it otherwise.
        masked: Whether the peer has to mask, which clients have.
        on_message: Gets a usual message and whether it is text; False where it does not want it.
        on_other: Gets the bytes of everything else, to feed the protocol.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        masked: bool,
        on_message: Callable[[bytes, bool], bool],
        on_other: Callable[[bytes], None],
    ) -> None:
        self._protocol = protocol
        self._mask_bit = _MASKED if masked else 0
        self._mask_bytes = _MASK_BYTES if masked else 0
        self._on_message = on_message
        self._on_other = on_other
        self._rest = b""
        self._closed = False

    def receive(self, data: bytes) -> None:
        """Take in what came."""
        if self._protocol.state is CONNECTING:
            # Frames that came along with a handshake may end anywhere.
            self._closed = not data.endswith(b"\r\n\r\n")
        if self._closed or self._protocol.state is CONNECTING:
            self._on_other(data)
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        while (left := len(data) - at) >= 2:
            first, second = data[at], data[at + 1]
            size = form = second & _SIZE
            begin = at + 2 + self._mask_bytes
            if form == _SIZE_IN_2_BYTES:
                if left < 4:
                    break
                begin += 2
                size = data[at + 2] << 8 | data[at + 3]
            end = begin + size
            legal = second & _MASKED == self._mask_bit and form != _SIZE_IN_8_BYTES
            if not legal or (end > len(data) and first not in _USUAL):
                # What is wrong with it, or how large it is, the library must see at once.
                self._closed = True
                self._on_other(data[at:])
                return
            if end > len(data):
                break
            if not (first in _USUAL and self._pass(data, begin, end, first == FIN_TEXT)):
                self._on_other(data[at:end])
            at = end
        self._rest = data[at:]

    def end(self) -> None:
        """Nothing more will come: hand on what there is of a frame."""
        self._closed = True
        if self._rest:
            rest, self._rest = self._rest, b""
            self._on_other(rest)

    def _pass(self, data: bytes, begin: int, end: int, is_text: bool) -> bool:
        protocol = self._protocol
        # Not between the fragments of another message, nor when the connection is being closed.
        if protocol.state is not OPEN or protocol.current_size is not None:
            return False
        content = data[begin:end]
        if self._mask_bytes:
            content = apply_mask(content, data[begin - _MASK_BYTES : begin])
        return self._on_message(content, is_text)


def framed(content: bytes, first: int, *, masked: bool) -> bytes | None:
    """Return a message as one frame; None where it is too large for a usual one.

    Args:
        content: Of the message.
        first: ``FIN_TEXT`` or ``FIN_BINARY``.
        masked: With a mask of its own, as from a client.
    """
    size = len(content)
    bit = _MASKED if masked else 0
    if size < _SIZE_IN_2_BYTES:
        head = bytes((first, bit | size))
    elif size <= _MOST_BYTES:
        head = bytes((first, bit | _SIZE_IN_2_BYTES, size >> 8, size & 0xFF))
    else:
        return None
    if not masked:
        return head + content
    # Not for secrets: peers are on this machine, or speak TLS below it.
    mask = random.getrandbits(8 * _MASK_BYTES).to_bytes(_MASK_BYTES, "big")
    return head + mask + apply_mask(content, mask)
