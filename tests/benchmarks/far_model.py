"""The Live API's end of one call, as cheaply as can be: set-up, then audio both ways.

It speaks turns of ten seconds in real time, one frame every 20 ms, with a breath between them, and
hears whatever rate the client declares. While probing it says something short once a second, so
that every probe is the first audio of a turn. Server messages go out as binary frames, as the
service sends them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast

from tests.benchmarks import signals, wire
from tests.benchmarks.far_caller import Call

_TURN_FRAMES = 10 * signals.FRAMES_PER_S
_PAUSE_FRAMES = 5  # what a bot rounds up at the end of a turn must not pile up in it
_PROBE_FRAMES = 15  # more than the stock resampler holds back

_SETUP_COMPLETE = wire.server_frame(b'{"setupComplete":{}}', wire.BINARY)
_TALK = [wire.server_frame(message, wire.BINARY) for message in signals.MODEL_TALK]
_STEPS = [wire.server_frame(message, wire.BINARY) for message in signals.MODEL_STEPS]
_TURN_END = b"".join(wire.server_frame(each, wire.BINARY) for each in signals.MODEL_TURN_END)


class Model(asyncio.Protocol):
    """One connection of a session. ``tick`` is called every 20 ms by the far end's timer."""

    def __init__(self, ready: Callable[["Model"], Call]) -> None:
        self.lost = False
        self.heard_s = 0.0
        self.offered_s = 0.0
        self._probing = False
        self._ready = ready
        self._call: Call | None = None
        self._reader = wire.FrameReader()
        self._request: bytes | None = b""
        self._rate_hz = 0
        self._count = 0
        self._code = -1

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by descent.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def data_received(self, data: bytes) -> None:
        if self._request is not None:
            self._request += data
            head, end, data = self._request.partition(b"\r\n\r\n")
            if not end:
                return
            self._request = None
            self._transport.write(wire.upgrade_response(head))
        now = time.monotonic()
        for opcode, payload in self._reader.feed(data):
            if opcode in (wire.TEXT, wire.BINARY):
                self._message(payload, now)
            elif opcode == wire.PING:
                self._transport.write(wire.server_frame(payload, wire.PONG))
            elif opcode == wire.CLOSE:
                self._transport.write(wire.server_frame(payload, wire.CLOSE))
                self._transport.close()

    # The connection

    @property
    def probing(self) -> bool:
        """Whether this call is probed rather than talking."""
        return self._probing

    @probing.setter
    def probing(self, value: bool) -> None:
        if value and self._call is not None and not self._probing:
            self._transport.write(_TURN_END)
        self._probing, self._code = value, -1

    def tick(self) -> None:
        """Send the next 20 ms of the model."""
        if self._call is None:
            return
        n, self._count = self._count, self._count + 1
        if self.probing:
            self._tick_probing((n - self._call.phase) % signals.FRAMES_PER_S)
            return
        position = n % _TURN_FRAMES
        if position < _TURN_FRAMES - _PAUSE_FRAMES:
            self._say(_TALK[n % signals.FRAMES_PER_S])
        elif position == _TURN_FRAMES - _PAUSE_FRAMES:
            self._transport.write(_TURN_END)

    def _tick_probing(self, position: int) -> None:
        assert self._call is not None
        ear = self._call.down
        if position == 0:
            self._code = ear.sent * 4 % len(signals.LEVELS)
            ear.probe_sent(self._code, time.monotonic())
        if self._code < 0 or position > _PROBE_FRAMES:
            return
        if position == _PROBE_FRAMES:
            self._transport.write(_TURN_END)
        else:
            self._say(_STEPS[self._code])

    def _say(self, frame: bytes) -> None:
        self._transport.write(frame)
        self.offered_s += signals.FRAME_MS / 1000

    def _message(self, text: bytes, now: float) -> None:
        if self._call is None:
            if b'"setup"' in text[:20]:
                self._transport.write(_SETUP_COMPLETE)
                self._call = self._ready(self)
            return
        if b'"audio"' not in text[:60]:
            return
        if not self._rate_hz:
            at = text.index(b"rate=") + 5
            self._rate_hz = int(text[at : text.index(b'"', at)])
        start = text.index(b'"', text.index(b'"data"') + 6) + 1
        payload = text[start : text.index(b'"', start)]
        size = len(payload) * 3 // 4 - payload[-2:].count(b"=")
        self.heard_s += size / (2 * self._rate_hz)
        if self.probing:
            self._call.up.heard(signals.decode(payload), self._rate_hz, now)
