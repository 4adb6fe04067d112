"""Twilio's end of one call: the voice webhook, then the media stream, as cheaply as can be.

Messages follow Twilio's media stream documentation (docs/voice/media-streams/websocket-messages):
string counters, a timestamp that does not start at zero, marks echoed when the audio before them
has played at 8000 bytes a second.
"""

import asyncio
import audioop
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
from twilio.request_validator import RequestValidator

from tests.benchmarks import signals, wire
from tests.benchmarks.probes import Ear

_FIRST_TIMESTAMP_MS = 73  # as in a published live frame, which runs about 70 ms ahead
_ULAW_BYTES_PER_S = 8000


@dataclass(frozen=True, slots=True)
class Line:
    """How to reach the bot under test, and the account it knows."""

    host: str
    port: int
    public_url: str
    account_sid: str
    auth_token: str


@dataclass(slots=True)
class Call:
    """One call and its probes in both directions.

    Args:
        sid: Call SID.
        phase: The frame of the second at which its probes start.
    """

    sid: str
    phase: int
    up: Ear = field(default_factory=Ear)
    down: Ear = field(default_factory=Ear)


class Caller(asyncio.Protocol):
    """One media stream. ``tick`` is called every 20 ms by the far end's timer."""

    def __init__(self, call: Call, head: bytes, start: dict[str, object]) -> None:
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self.heard_s = 0.0
        self.offered_s = 0.0
        self.probing = False
        self._call = call
        self._head = head
        self._start = start
        self._stream_sid = str(start["streamSid"]).encode()
        self._reader = wire.FrameReader()
        self._response = b""
        self._sequence = 1
        self._chunk = 0
        self._code = -1
        self._playout_end = 0.0
        self._marks: deque[tuple[float, str]] = deque()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by descent.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.upgraded.done():
            self.upgraded.set_exception(ConnectionError("refused during the upgrade"))

    def data_received(self, data: bytes) -> None:
        if not self.upgraded.done():
            self._response += data
            head, end, data = self._response.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.upgraded.set_exception(ConnectionError(head.decode()))
                return
            self.upgraded.set_result(None)
            self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            self._send(
                {
                    "event": "start",
                    "sequenceNumber": "1",
                    "streamSid": self._start["streamSid"],
                    "start": self._start,
                }
            )
        now = time.monotonic()
        for opcode, payload in self._reader.feed(data):
            if opcode == wire.PING:
                self._transport.write(wire.client_frame(payload, wire.PONG))
            elif opcode == wire.TEXT:
                self._message(payload, now)

    # The stream

    def tick(self) -> None:
        """Send the next 20 ms of the caller, and the marks that are due."""
        n, self._chunk = self._chunk, self._chunk + 1
        position = (n - self._call.phase) % signals.FRAMES_PER_S
        if not self.probing:
            payload, self._code = signals.PHONE_TALK[n % signals.FRAMES_PER_S], -1
        elif position >= signals.STEP_FRAMES:
            payload = signals.PHONE_SILENCE
        else:
            if position == 0:
                self._code = self._call.up.sent * 4 % len(signals.LEVELS)
                self._call.up.probe_sent(self._code, time.monotonic())
            payload = signals.PHONE_STEPS[self._code] if self._code >= 0 else signals.PHONE_SILENCE
        self._sequence += 1
        self._transport.write(
            wire.client_frame(
                b'{"event":"media","sequenceNumber":"%d","streamSid":"%b","media":{"track":"inbound",'
                b'"chunk":"%d","timestamp":"%d","payload":"%b"}}'
                % (
                    self._sequence,
                    self._stream_sid,
                    n + 1,
                    n * signals.FRAME_MS + _FIRST_TIMESTAMP_MS,
                    payload,
                )
            )
        )
        self.offered_s += signals.FRAME_MS / 1000
        if self._marks:
            self._echo_marks(time.monotonic())

    def hang_up(self) -> None:
        """Say stop and leave, as after a caller's hang-up."""
        self._sequence += 1
        self._send(
            {
                "event": "stop",
                "sequenceNumber": str(self._sequence),
                "streamSid": self._start["streamSid"],
                "stop": {"accountSid": self._start["accountSid"], "callSid": self._call.sid},
            }
        )
        self._transport.write(wire.client_frame(b"", wire.CLOSE))

    def _send(self, message: dict[str, object]) -> None:
        self._transport.write(wire.client_frame(json.dumps(message).encode()))

    def _message(self, text: bytes, now: float) -> None:
        if b'"media"' in text[:120]:
            start = text.index(b'"', text.index(b'"payload"') + 9) + 1
            payload = text[start : text.index(b'"', start)]
            size = len(payload) * 3 // 4 - payload[-2:].count(b"=")
            seconds = size / _ULAW_BYTES_PER_S
            self.heard_s += seconds
            self._playout_end = max(now, self._playout_end) + seconds
            if self.probing:
                pcm = audioop.ulaw2lin(signals.decode(payload), 2)
                self._call.down.heard(pcm, signals.PHONE_HZ, now)
            return
        message = json.loads(text)
        if message["event"] == "mark":
            self._marks.append((self._playout_end, message["mark"]["name"]))
        elif message["event"] == "clear":
            self._playout_end = now
            self._echo_marks(float("inf"))

    def _echo_marks(self, now: float) -> None:
        while self._marks and self._marks[0][0] <= now:
            _, name = self._marks.popleft()
            self._sequence += 1
            self._send(
                {
                    "event": "mark",
                    "sequenceNumber": str(self._sequence),
                    "streamSid": self._start["streamSid"],
                    "mark": {"name": name},
                }
            )


async def ring(line: Line, call: Call, http: httpx.AsyncClient) -> Caller:
    """Place one inbound call: signed webhook, TwiML, signed upgrade; returns the open stream."""
    validator = RequestValidator(line.auth_token)
    form = {
        "AccountSid": line.account_sid,
        "CallSid": call.sid,
        "From": "+15550100001",
        "To": "+15550100002",
        "Direction": "inbound",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
    }
    url = f"{line.public_url}/voice"
    answer = await http.post(
        f"http://{line.host}:{line.port}/voice",
        data=form,
        headers={
            "X-Twilio-Signature": validator.compute_signature(url, form),
            "Host": urlsplit(url).netloc,
            "X-Forwarded-Proto": "https",
        },
    )
    answer.raise_for_status()
    stream = ElementTree.fromstring(answer.text).find(".//Stream")
    if stream is None:
        raise ConnectionError(f"no stream in the TwiML: {answer.text}")
    stream_url = stream.attrib["url"]
    target = urlsplit(stream_url)
    start: dict[str, object] = {
        "accountSid": line.account_sid,
        "streamSid": f"MZ{uuid.uuid4().hex}",
        "callSid": call.sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {each.attrib["name"]: each.attrib["value"] for each in stream},
    }
    head = wire.upgrade_request(
        target.path,
        target.netloc,
        {"X-Twilio-Signature": validator.compute_signature(stream_url, {})},
    )
    _, caller = await asyncio.get_running_loop().create_connection(
        lambda: Caller(call, head, start), line.host, line.port
    )
    async with asyncio.timeout(5):
        await caller.upgraded
    return caller
