"""Carries out the faults that happen once, on one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workers.twin.live_api.connection import Connection
from workers.twin.live_api.conversation import Conversation
from workers.twin.live_api.endless import Endless
from workers.twin.live_api.faults import (
    GARBAGE,
    NO_CLOSE_FRAME,
    UNSAID_TIME_LEFT_S,
    Close,
    Garbage,
    GoAway,
    HalfOpen,
    OversizedFrame,
    PhantomInterrupt,
    ResidualAudio,
    Timed,
)
from workers.twin.live_api.session_log import SessionLog
from workers.twin.live_api.wire import encode

_REASON_BYTES = 123  # RFC 6455, section 5.5: a control frame holds 125, two of them the code.


class Strikes:
    """What has happened to a connection, and what is to happen to it.

    Whoever plays the model's part is set once it is there: ``conversation`` or ``stream``.
    """

    def __init__(
        self,
        socket: Connection,
        log: SessionLog,
        *,
        time_scale: float,
        clock: Callable[[], float],
    ) -> None:
        self._socket = socket
        self._log = log
        self._time_scale = time_scale
        self._clock = clock
        self._closing = False
        self.conversation: Conversation | None = None
        self.stream: Endless | None = None
        self.silenced = False
        """Nothing more is sent but the close."""

    @property
    def deaf(self) -> bool:
        """Whether the server's end is over: what still arrives is heard by nobody."""
        return self._closing or self._socket.half_open

    async def strike(self, faults: Iterable[Timed]) -> None:
        """Let each happen, in order.

        Raises:
            ConnectionClosed: There is no connection any more that it could happen to.
        """
        for fault in faults:
            now = self._clock()
            self._log.note(now, "fault", type(fault).__name__)
            await self._strike(fault, now)

    async def close(self, code: int, reason: str) -> None:
        """Close the connection; code 1006 resets it."""
        self._log.note(self._clock(), "close", f"{code} {reason}")
        self._closing = True
        if code == NO_CLOSE_FRAME:
            await self._socket.reset()
            return
        short = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        await self._socket.close(code, short)

    async def _strike(self, fault: Timed, now: float) -> None:
        match fault:
            case Close(code=code, reason=reason):
                await self.close(code, reason)
            case GoAway():
                await self._go_away(fault, now)
            case HalfOpen():
                await self._socket.go_half_open()
            case Garbage(kinds=kinds):
                for kind in kinds:
                    await self._socket.send(GARBAGE[kind])
            case OversizedFrame():
                await self._socket.send(fault.data)
            case PhantomInterrupt() if self.conversation is not None:
                self.conversation.phantom_interrupt(now)
            case ResidualAudio(ms=duration_ms) if self.conversation is not None:
                self.conversation.residual_audio(duration_ms)

    async def _go_away(self, fault: GoAway, now: float) -> None:
        told: dict[str, str] = {}
        left_s = UNSAID_TIME_LEFT_S / self._time_scale
        if fault.time_left_s is not None:
            left_s = fault.time_left_s / self._time_scale
            told["timeLeft"] = f"{left_s:.9g}s"
        if fault.closes:
            self._socket.plan.later(Close(code=fault.code, reason=fault.reason), now + left_s)
        self._log.note(now, "go_away", told.get("timeLeft", ""))
        if self.silenced:
            return
        if fault.silent:
            self.silenced = True
            if self.stream is not None:
                self.stream.stop()
        await self._socket.send(encode({"goAway": told}))
        self._log.frames_sent += 1
