"""WebSocket frames by hand (RFC 6455, section 5.2), for far ends that must cost next to nothing.

A library would spend more on the far side of a call than the worker under test spends on its own,
and there is only one core for all of it. No extension is ever negotiated.
"""

import base64
import hashlib
from collections.abc import Iterable

from websockets.speedups import apply_mask

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

_CONTINUATION = 0x0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole unmasked frame."""
    return bytes((0x80 | opcode,)) + _length(len(payload), 0x00) + payload


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole frame masked with the key zero, which leaves the payload as it is.

    The receiver must unmask it all the same, so it costs the worker what any other key would.
    """
    return bytes((0x80 | opcode,)) + _length(len(payload), 0x80) + b"\0\0\0\0" + payload


def _length(size: int, mask_bit: int) -> bytes:
    if size < 126:
        return bytes((mask_bit | size,))
    if size < 65536:
        return bytes((mask_bit | 126,)) + size.to_bytes(2, "big")
    return bytes((mask_bit | 127,)) + size.to_bytes(8, "big")


class FrameReader:
    """Bytes in any portions → messages, masked or not, fragmented or not."""

    def __init__(self) -> None:
        self._rest = b""
        self._fragments: list[bytes] = []
        self._opcode = _CONTINUATION

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that ``data`` completes, as (opcode, payload)."""
        if self._rest:
            data = self._rest + data
        messages: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while size - at >= 2:
            first, second = data[at], data[at + 1]
            body, length = at + 2, second & 0x7F
            if length >= 126:
                width = 2 if length == 126 else 8
                if size < body + width:
                    break
                length = int.from_bytes(data[body : body + width], "big")
                body += width
            key_at = body
            if second & 0x80:
                body += 4
            if size < body + length:
                break
            payload = data[body : body + length]
            if second & 0x80:
                payload = apply_mask(payload, data[key_at:body])
            at = body + length
            messages.extend(self._assemble(first, payload))
        self._rest = data[at:]
        return messages

    def _assemble(self, first: int, payload: bytes) -> Iterable[tuple[int, bytes]]:
        opcode, final = first & 0x0F, first & 0x80
        if opcode >= CLOSE or (final and opcode != _CONTINUATION):
            return ((opcode, payload),)
        if opcode != _CONTINUATION:
            self._opcode = opcode
        self._fragments.append(payload)
        if not final:
            return ()
        whole, self._fragments = b"".join(self._fragments), []
        return ((self._opcode, whole),)


def upgrade_request(target: str, host: str, headers: dict[str, str]) -> bytes:
    """The client's handshake; every connection uses the same nonce."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def upgrade_response(request_head: bytes) -> bytes:
    """The server's answer to a handshake that asked for whatever it likes."""
    key = b""
    for line in request_head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            key = value.strip()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
