"""One bidirectional media stream: Twilio's client end of it, on a real socket."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from workers.twin.phone_audio import Frame
from workers.twin.twilio_api import signing
from workers.twin.twilio_api.media import messages
from workers.twin.twilio_api.media.playout import Playout
from workers.twin.twilio_api.media.sender import FIRST_TIMESTAMP_MS, Sender
from workers.twin.twilio_api.media.socket import ClientSocket, Closed
from workers.twin.twilio_api.media.timeline import Timeline
from workers.twin.twilio_api.media.voice import VoiceLog
from workers.twin.twilio_api.signing import Signing

# Seen in the field: a connection over which nothing passed was found broken that late
# (csub-micro-poc findings 18).
LOST_S = 45.0

Ending = Literal["stop", "no_stop", "reset", "half_open"]


@dataclass(frozen=True, slots=True)
class StreamTiming:
    """What Twilio's pages leave open (Twilio reference, section 11); all of it has to be bounded.

    ``detection_s`` passes from the moment a server's process dies, or its connection breaks, until
    Twilio notices; what is queued plays on meanwhile. ``next_verb_s`` is between the end of
    ``<Connect>`` and the verb after it, ``close_s`` what a server may take to answer a close.
    """

    handshake_s: float = 10.0
    detection_s: float = 0.05
    close_s: float = 2.0
    next_verb_s: float = 0.0


class StreamLog(Protocol):
    """Where a stream tells what happens to it; a call implements it."""

    def note(self, kind: str, **data: object) -> None:
        """Record an event."""

    def warn(self, code: int, detail: str) -> None:
        """Record a line of Twilio's debugger."""


class MediaTap(Protocol):
    """Sees every frame of a stream as it passes, for benchmarks; must not block."""

    def sent(self, call_sid: str, chunk: int, at_s: float) -> None:
        """Caller audio went out."""

    def received(self, call_sid: str, ulaw: bytes, at_s: float) -> None:
        """Agent audio came in."""


@dataclass(frozen=True, slots=True)
class StreamFaults:
    """What goes wrong with a stream, from its beginning to its end.

    ``parameters`` are laid over those of the TwiML, None takes one away: so tests forge, drop or
    reuse a ticket without this module knowing which parameter is one.

    ``ending`` is what the server sees where Twilio ends the stream: ``stop`` and a close, the close
    alone, a TCP reset, or nothing at all, for as long as it keeps its end open. From
    ``lost_after_s`` on, nothing passes either way; ``lost_s`` later Twilio resets the connection.

    ``send_buffer_bytes`` is what the system holds back for a server that does not read; left alone
    it is minutes of frames, and it takes as long until audio is dropped.
    """

    signing: Signing = "good"
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    call_sid: str | None = None
    account_sid: str | None = None
    connect_delay_s: float = 0.0
    start_delay_s: float = 0.0
    ending: Ending = "stop"
    lost_after_s: float | None = None
    lost_s: float = LOST_S
    send_buffer_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What is to be opened for which call."""

    url: str
    stream_sid: str
    account_sid: str
    call_sid: str
    auth_token: str
    parameters: Mapping[str, str]
    faults: StreamFaults = field(default_factory=StreamFaults)
    timing: StreamTiming = field(default_factory=StreamTiming)
    second: bool = False
    """Whether it runs beside the call's own stream."""


class MediaStream:
    """Carries frames, keys and marks between a phone and a server."""

    def __init__(
        self,
        request: StreamRequest,
        timeline: Timeline,
        log: StreamLog,
        *,
        clock: Callable[[], float] = time.monotonic,
        tap: MediaTap | None = None,
    ) -> None:
        self.request = request
        self._log = log
        self._clock = clock
        self._tap = tap
        faults = request.faults
        self._sender = Sender(
            request.stream_sid,
            faults.account_sid or request.account_sid,
            faults.call_sid or request.call_sid,
        )
        self._playout = Playout(timeline)
        self._mark_timer: asyncio.TimerHandle | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._first_frame_s = float("inf")
        self._warned: set[int] = set()
        self._fatal = 0
        self._dropped = False
        self._lost = False
        self._half_open = False
        self._over = False
        self._closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self.on_lost: Callable[[], None] = lambda: None
        """Called when nothing passes any more."""
        self.started_at_s: float | None = None
        self.over_at_s: float | None = None
        """When Twilio ended it, or knew it ended; what comes later nobody hears."""
        self.cut_ms = 0.0
        """How much was still to be played then."""
        self.heard = VoiceLog()
        self.unheard = VoiceLog()
        """What came when nothing passed any more, or the stream was over."""
        self._socket = ClientSocket(
            request.url,
            signing.headers(request.auth_token, request.url, signing=faults.signing),
            on_message=self._on_message,
            on_closed=self._on_closed,
            send_buffer_bytes=faults.send_buffer_bytes,
        )

    @property
    def is_connected(self) -> bool:
        """Whether its socket is still there, half-open ones left out."""
        return self._socket.is_connected and not self._half_open

    @property
    def is_half_open(self) -> bool:
        """Whether it is over for Twilio, while the server has not given its end up."""
        return self._socket.is_connected and self._half_open

    async def open(self, *, tls: ssl.SSLContext | None) -> None:
        """Open the socket and send ``connected`` and ``start``.

        Raises:
            HandshakeFailed: the stream did not start.
        """
        faults = self.request.faults
        await asyncio.sleep(faults.connect_delay_s)
        await self._socket.connect(timeout_s=self.request.timing.handshake_s, tls=tls)
        if faults.start_delay_s:
            await asyncio.wait([self._closed], timeout=faults.start_delay_s)
        laid = {**self.request.parameters, **faults.parameters}
        parameters = {name: value for name, value in laid.items() if value is not None}
        self._send(self._sender.start(parameters))
        self.started_at_s = self._clock()
        self._first_frame_s = self.started_at_s + FIRST_TIMESTAMP_MS / 1000
        if faults.lost_after_s is not None:
            self._later(faults.lost_after_s, lambda: self.lose(faults.lost_s))
        self._log.note("stream.started", stream_sid=self.request.stream_sid, parameters=parameters)

    async def wait_closed(self) -> Closed:
        """Wait until the server closes the socket or it breaks; log Twilio's code for that."""
        closed = await asyncio.shield(self._closed)
        if self._dropped or self._lost:
            return closed
        if self._fatal or closed.protocol_error:
            self._log.warn(31924, closed.protocol_error or "malformed message")
        elif closed.clean:
            self._log.warn(31921, f"server closed with {closed.code} {closed.reason}".rstrip())
        else:
            self._log.warn(31903, "connection broken off by the server")
        return closed

    async def hang_up(self) -> None:
        """End as Twilio does when the call ends or goes elsewhere: ``stop``, then close.

        Bounded, also where the server neither reads nor answers.
        """
        ending, ended = self.request.faults.ending, self._closed.done()
        self._finish()
        if self._half_open:
            return
        if not ended and ending == "half_open" and self.started_at_s is not None:
            self._let_go()
            return
        if self._lost or ending == "reset":
            self._socket.abort()
        elif not ended and ending == "stop":
            self._send(self._sender.stop())
        await self._socket.close(timeout_s=self.request.timing.close_s)
        self._end(Closed(None, "", clean=False))

    def drop(self, *, half_open: bool = False) -> None:
        """Break off without ``stop``: the server sees a TCP reset, or nothing at all."""
        self._dropped = True
        if half_open:
            self._let_go()
        else:
            self._socket.abort()

    def lose(self, for_s: float = LOST_S) -> None:
        """Let nothing pass any more, which Twilio finds out ``for_s`` later (findings 18)."""
        if self._over or self._lost:
            return
        self._lost = True
        self._socket.mute()
        self._log.warn(31924, "nothing passes any more")
        self._later(for_s, self._break_off)
        self.on_lost()

    def abort(self) -> None:
        """Break the socket off, a half-open one too."""
        self._socket.abort()

    def frame(self, frame: Frame, due_s: float) -> None:
        """Send 20 ms of caller audio; nothing before the stream has run for about 70 ms."""
        if due_s < self._first_frame_s or self._over or self._lost or not self.is_connected:
            return
        if self._socket.writing_paused:
            self._sender.skip(20)
            self._warn_once(31930, "caller audio dropped, the server reads too slowly")
            return
        self._send(self._sender.media(frame.text, due_s))
        if self._tap is not None:
            self._tap.sent(self.request.call_sid, self._sender.chunks, self._clock())

    def digit(self, digit: str) -> None:
        """Send a pressed key."""
        self._send(self._sender.dtmf(digit, self._clock()))

    def send_raw(self, data: str | bytes, *, framed: bool = True) -> None:
        """Send anything: a text, a binary message, or bytes past the framing."""
        if isinstance(data, str):
            self._socket.send_text(data)
        elif framed:
            self._socket.send_binary(data)
        else:
            self._socket.send_bytes(data)

    def skip(self, ms: int) -> None:
        """Let the timestamps jump."""
        self._sender.skip(ms)

    def hold(self, ms: int) -> None:
        """Withhold everything for a while; it then arrives as a burst."""
        self._sender.hold(self._clock() + ms / 1000)

    def reorder(self, frames: int) -> None:
        """Send the next frames in reverse."""
        self._sender.reorder(frames)

    def read_slowly(self, ms: int) -> None:
        """Read nothing for a while."""
        self._socket.pause_reading()
        self._later(ms / 1000, self._socket.resume_reading)

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, do))

    def _send(self, texts: list[str]) -> None:
        for text in texts:
            self._socket.send_text(text)

    def _on_message(self, data: bytes, is_text: bool) -> None:
        now = self._clock()
        if self._over or self._lost:
            message = messages.read(data, self.request.stream_sid) if is_text else None
            if isinstance(message, messages.Media):
                self.unheard.add(len(message.ulaw), now)
            return
        if not is_text:
            self._warn_once(31950, f"binary frame of {len(data)} bytes")
            return
        match messages.read(data, self.request.stream_sid):
            case messages.Media(ulaw):
                self.heard.add(len(ulaw), now)
                if not self._playout.play(ulaw, now):
                    self._warn_once(31931, "more than ten minutes queued")
                if self._tap is not None:
                    self._tap.received(self.request.call_sid, ulaw, now)
            case messages.Mark(name):
                self._log.note("mark.set", name=name, queued_ms=self._playout.queued_ms(now))
                self._echo(self._playout.mark(name, now), now)
            case messages.Clear():
                self._log.note("clear", queued_ms=self._playout.queued_ms(now))
                self._echo(self._playout.clear(now), now)
            case messages.Invalid(code, text, fatal):
                self._warn_once(code, text)
                if fatal:
                    self._fatal = code
                    self._socket.abort()

    def _echo(self, names: list[str], now: float) -> None:
        if names:
            self._send(self._sender.marks(names, now))
            for name in names:
                self._log.note("mark.echoed", name=name)
        self._watch_marks()

    def _watch_marks(self) -> None:
        due_s = self._playout.next_s()
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        if due_s is not None and not self._closed.done():
            # Some loops count whole milliseconds: rather a little late than a busy wait.
            delay_s = max(0.001, due_s - self._clock())
            loop = asyncio.get_running_loop()
            self._mark_timer = loop.call_later(delay_s, self._marks_due)

    def _marks_due(self) -> None:
        now = self._clock()
        self._mark_timer = None
        self._echo(self._playout.due(now), now)

    def _warn_once(self, code: int, detail: str) -> None:
        if code not in self._warned:
            self._warned.add(code)
            self._log.warn(code, detail)

    def _on_closed(self, closed: Closed) -> None:
        if self._lost and not self._over:
            return  # Of this, too, nothing passes.
        at_once = closed.clean or closed.protocol_error or self._fatal or self._dropped
        if at_once or self._over or self.started_at_s is None:
            self._end(closed)
        else:
            self._log.note("stream.broken")
            self._later(self.request.timing.detection_s, lambda: self._end(closed))

    def _break_off(self) -> None:
        self._socket.abort()
        self._end(Closed(None, "", clean=False))

    def _let_go(self) -> None:
        """Forget the connection, which stays."""
        self._half_open = True
        self._socket.mute()
        self._end(Closed(None, "half open", clean=False))

    def _end(self, closed: Closed) -> None:
        if self._closed.done():
            return
        self._closed.set_result(closed)
        self._finish()
        self._log.note("stream.closed", code=closed.code, reason=closed.reason, clean=closed.clean)

    def _finish(self) -> None:
        now = self._clock()
        if not self._over:
            self._over = True
            self.over_at_s = now
            self.cut_ms = self._playout.queued_ms(now)
        self._playout.stop(now)
        for timer in (*self._timers, self._mark_timer):
            if timer is not None:
                timer.cancel()
        self._timers.clear()
        self._mark_timer = None
