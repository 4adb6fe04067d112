"""A media socket in memory, and a Twilio behind it that plays, echoes marks and obeys ``clear``.

The far end is written from the reference, not with the code under test.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from telephony.errors import MediaSocketClosed

ACCOUNT_SID = "AC" + "0" * 31 + "1"
CALL_SID = "CA" + "0" * 31 + "2"
STREAM_SID = "MZ" + "0" * 31 + "3"


class FakeMediaSocket:
    """The server's end. ``feed`` puts in what Twilio sends; ``sent`` holds what it got."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed_with: tuple[int, str] | None = None
        self.send_error: MediaSocketClosed | None = None
        self.takes_messages = asyncio.Event()
        self.takes_messages.set()
        self.close_hangs = False
        self._take: Callable[[str], bool] = lambda _text: False
        self._incoming: deque[str | bytes | MediaSocketClosed] = deque()
        self._arrived = asyncio.Event()

    def feed(self, message: dict[str, Any] | str | bytes | MediaSocketClosed) -> None:
        found = json.dumps(message) if isinstance(message, dict) else message
        if isinstance(found, str) and not self._incoming and self._take(found):
            return
        self._incoming.append(found)
        self._arrived.set()

    def listen(self, take: Callable[[str], bool]) -> None:
        self._take = take

    async def receive(self) -> str | bytes:
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        message = self._incoming.popleft()
        if isinstance(message, MediaSocketClosed):
            self._incoming.appendleft(message)
            raise message
        return message

    def write(self, text: str) -> bool:
        if not self.takes_messages.is_set() or self.send_error is not None:
            return False
        message = json.loads(text)
        self.sent.append(message)
        self.on_sent(message)
        return True

    async def send(self, text: str) -> None:
        await self.takes_messages.wait()
        if self.send_error is not None:
            raise self.send_error
        assert self.write(text)

    async def close(self, code: int, reason: str) -> None:
        if self.close_hangs:
            await asyncio.Event().wait()
        if self.closed_with is None:
            self.closed_with = (code, reason)
            self.feed(MediaSocketClosed(code, reason))

    def on_sent(self, message: dict[str, Any]) -> None:
        """For the far end to override."""


class FakeTwilio(FakeMediaSocket):
    """Twilio's end: numbered messages, playback at 8000 bytes a second, marks, ``clear``."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[float, bytes]] = []
        """When each piece begins to be played, by the loop's clock, and the piece; cut by clear."""
        self.echoes_marks = True
        self._sequence = 0
        self._chunk = 0
        self._plays_until = 0.0
        self._marks: deque[tuple[str, asyncio.TimerHandle]] = deque()

    def say_hello(self, ticket: str | None = None) -> None:
        self.feed(connected())
        self._sequence = 1
        self.feed(start(ticket=ticket))

    def speak(self, ulaw: bytes, *, timestamp: int | None = None) -> None:
        self._chunk += 1
        at = (self._chunk - 1) * 20 + 70 if timestamp is None else timestamp
        self.feed(media(ulaw, self._next(), self._chunk, at))

    def press(self, digit: str) -> None:
        self.feed(dtmf(digit, self._next()))

    def hang_up(self) -> None:
        self.feed(stop(self._next()))
        self.feed(MediaSocketClosed(1005))

    def heard_bytes(self) -> bytes:
        return b"".join(piece for _, piece in self.heard)

    def on_sent(self, message: dict[str, Any]) -> None:
        assert message["streamSid"] == STREAM_SID
        loop = asyncio.get_running_loop()
        match message["event"]:
            case "media":
                payload = base64.b64decode(message["media"]["payload"])
                at = max(self._plays_until, loop.time())
                self.heard.append((at, payload))
                self._plays_until = at + len(payload) / 8000
            case "mark":
                name = message["mark"]["name"]
                timer = loop.call_at(self._plays_until, self._echo_oldest)
                self._marks.append((name, timer))
            case "clear":
                now = loop.time()
                self.heard = [
                    (at, piece[: max(0, round((now - at) * 8000))]) for at, piece in self.heard
                ]
                self._plays_until = now
                while self._marks:
                    self._marks[0][1].cancel()
                    self._echo_oldest()
            case other:
                raise AssertionError(f"warning 31951: {other}")

    def _echo_oldest(self) -> None:
        name, _ = self._marks.popleft()
        if self.echoes_marks:
            self.feed(mark(name, self._next()))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


def connected() -> dict[str, Any]:
    return {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(
    *,
    ticket: str | None = None,
    encoding: str = "audio/x-mulaw",
    tracks: tuple[str, ...] = ("inbound",),
) -> dict[str, Any]:
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": STREAM_SID,
        "start": {
            "accountSid": ACCOUNT_SID,
            "streamSid": STREAM_SID,
            "callSid": CALL_SID,
            "tracks": list(tracks),
            "mediaFormat": {"encoding": encoding, "sampleRate": 8000, "channels": 1},
            "customParameters": {} if ticket is None else {"ticket": ticket},
        },
    }


def media(ulaw: bytes, sequence: int, chunk: int, timestamp: int) -> dict[str, Any]:
    return {
        "event": "media",
        "sequenceNumber": str(sequence),
        "streamSid": STREAM_SID,
        "media": {
            "track": "inbound",
            "chunk": str(chunk),
            "timestamp": str(timestamp),
            "payload": base64.b64encode(ulaw).decode(),
        },
    }


def dtmf(digit: str, sequence: int) -> dict[str, Any]:
    return {
        "event": "dtmf",
        "streamSid": STREAM_SID,
        "sequenceNumber": str(sequence),
        "dtmf": {"track": "inbound_track", "digit": digit},
    }


def mark(name: str, sequence: int) -> dict[str, Any]:
    return {
        "event": "mark",
        "sequenceNumber": str(sequence),
        "streamSid": STREAM_SID,
        "mark": {"name": name},
    }


def stop(sequence: int) -> dict[str, Any]:
    return {
        "event": "stop",
        "sequenceNumber": str(sequence),
        "streamSid": STREAM_SID,
        "stop": {"accountSid": ACCOUNT_SID, "callSid": CALL_SID},
    }
