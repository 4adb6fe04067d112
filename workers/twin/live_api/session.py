"""One connection of the server: reads frames, runs an engine, sends what it gives back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from workers.twin.live_api.conversation import Conversation
from workers.twin.live_api.engine import Engine, Send
from workers.twin.live_api.faults import (
    GARBAGE,
    NO_CLOSE_FRAME,
    Close,
    FaultPlan,
    Garbage,
    OversizedFrame,
    Timed,
)
from workers.twin.live_api.handles import HandleBook
from workers.twin.live_api.loops import Parrot, endless_frames
from workers.twin.live_api.messages import AudioIn, RefusedError, invalid
from workers.twin.live_api.profiles import Profile
from workers.twin.live_api.script import LiveScript, ScriptSource
from workers.twin.live_api.session_log import SessionLog
from workers.twin.live_api.setup import Setup, read_setup
from workers.twin.live_api.wire import decode, encode, parse

# No source says how long the real server waits for a setup message.
_SETUP_TIMEOUT_S = 30.0
_REASON_BYTES = 123  # RFC 6455, section 5.5: a control frame holds 125, two of them the code.
# Audio that is not read piles up here before frames are skipped (modes tone and stream).
_UNREAD_BYTES = 1 << 20
# uvloop's timers run on whole milliseconds and may fire that much early; without this allowance
# such a timer is set again and again until its time has come.
_TIMER_S = 0.001


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a server share."""

    script: ScriptSource
    only: Profile | None
    speed: float | None
    setup_delay_s: float
    turn_complete_after_interrupted: bool
    handles: HandleBook
    is_open: Callable[[int], bool]
    clock: Callable[[], float]


class Session:
    """Runs one connection from its upgrade to its close."""

    def __init__(
        self,
        socket: ServerConnection,
        log: SessionLog,
        plan: FaultPlan,
        around: Surroundings,
        *,
        vertex: bool,
    ) -> None:
        self._socket = socket
        self._log = log
        self._plan = plan
        self._around = around
        self._vertex = vertex
        self._clock = around.clock
        self._changed = asyncio.Event()
        self._outbox: list[Send] = []
        self._sleeps_until: float | None = None

    async def run(self) -> None:
        """Serve the connection; returns when it is closed, whoever closed it."""
        try:
            setup = await self._set_up()
            if setup is not None:
                await self._serve(setup)
        except RefusedError as refusal:
            await self._close(refusal.code, refusal.reason)
        except TimeoutError:
            await self._close(1011, "Deadline expired before operation could complete.")
        except ConnectionClosed:
            pass
        finally:
            await self._socket.close(1011, "Internal error encountered.")

    async def _set_up(self) -> Setup | None:
        async with asyncio.timeout(_SETUP_TIMEOUT_S):
            frame = await self._socket.recv()
        self._log.frames_received += 1
        message = parse(frame)
        if "setup" not in message:
            raise invalid()
        self._log.setup = message["setup"]
        setup = read_setup(message["setup"], vertex=self._vertex, only=self._around.only)
        if setup.handle:
            self._around.handles.redeem(setup.handle, self._around.is_open)
        if self._plan.hangs:
            self._log.note(self._clock(), "fault", "hang before setup")
            await self._socket.wait_closed()
            return None
        await self._wait(self._around.setup_delay_s + self._plan.setup_delay_s)
        complete = {"sessionId": str(uuid.uuid4())} if self._vertex else {}
        await self._socket.send(encode({"setupComplete": complete}))
        self._log.frames_sent += 1
        self._log.ready_at = self._clock()
        self._plan.arm(self._log.ready_at)
        return setup

    async def _wait(self, seconds: float) -> None:
        """Let time pass, but no longer than the connection lives."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._socket.wait_closed()
            except TimeoutError:
                pass

    async def _serve(self, setup: Setup) -> None:
        script = self._script()
        mime = setup.profile.audio_mime
        stream: _Stream | None = None
        engine: Engine
        if script.mode == "script":
            engine = Conversation(
                setup,
                script,
                self._log,
                new_handle=lambda: self._around.handles.issue(self._log.number),
                seed=self._log.number,
                turn_complete_after_interrupted=self._around.turn_complete_after_interrupted,
            )
        else:
            engine = Parrot(mime)
            if script.mode != "parrot":
                frames = endless_frames(script, mime)
                stream = _Stream(self._socket, self._log, frames, script.chunk_ms)
                stream.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(engine))
                await (self._read(engine) if stream is None else self._drain())
                writer.cancel()
        finally:
            if stream is not None:
                stream.stop()

    def _script(self) -> LiveScript:
        script = self._around.script
        if not isinstance(script, LiveScript):
            script = script(self._log.number, self._log.setup)
        return script if self._around.speed is None else replace(script, speed=self._around.speed)

    async def _read(self, engine: Engine) -> None:
        log = self._log
        try:
            async for frame in self._socket:
                log.frames_received += 1
                message = parse(frame)
                now = self._clock()
                decoded = decode(message)
                if isinstance(decoded, AudioIn):
                    log.audio(decoded.pcm, decoded.rate_hz, now)
                else:
                    log.message(message)
                engine.receive(decoded, now)
                self._outbox += engine.take()
                if self._outbox or engine.deadline != self._sleeps_until:
                    self._changed.set()
        except ConnectionClosed:
            pass
        except RefusedError as refusal:
            await self._close(refusal.code, refusal.reason)

    async def _drain(self) -> None:
        """Take in frames without looking at them: the other end of a benchmark must be cheap."""
        log = self._log
        keeps = log.keep.audio_s > 0 or log.keep.arrivals
        try:
            async for frame in self._socket:
                log.frames_received += 1
                if keeps:
                    decoded = decode(parse(frame))
                    if isinstance(decoded, AudioIn):
                        log.audio(decoded.pcm, decoded.rate_hz, self._clock())
        except ConnectionClosed:
            pass
        except RefusedError as refusal:
            await self._close(refusal.code, refusal.reason)

    async def _write(self, engine: Engine) -> None:
        try:
            while self._socket.state is State.OPEN:
                await self._sleep(engine)
                now = self._clock()
                for fault in self._plan.due(now):
                    await self._strike(fault)
                engine.wake(now)
                self._outbox += engine.take()
                outbox, self._outbox = self._outbox, []
                for send in outbox:
                    for fault in self._plan.before(send):
                        await self._strike(fault)
                    if not self._plan.mutes(send):
                        await self._socket.send(send.data)
                        self._log.frames_sent += 1
                        self._log.audio_sent_ms += send.audio_ms
        except ConnectionClosed:
            pass

    async def _sleep(self, engine: Engine) -> None:
        times = [at for at in (engine.deadline, self._plan.deadline) if at is not None]
        self._sleeps_until = engine.deadline
        timeout_s = max(0.0, min(times) - self._clock()) if times else None
        if not self._outbox:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
        self._changed.clear()

    async def _strike(self, fault: Timed) -> None:
        self._log.note(self._clock(), "fault", type(fault).__name__)
        match fault:
            case Close(code=code, reason=reason):
                if code == NO_CLOSE_FRAME:
                    self._socket.transport.abort()
                    await self._socket.wait_closed()
                else:
                    await self._close(code, reason)
            case Garbage(kinds=kinds):
                for kind in kinds:
                    await self._socket.send(GARBAGE[kind])
            case OversizedFrame():
                await self._socket.send(fault.data)

    async def _close(self, code: int, reason: str) -> None:
        self._log.note(self._clock(), "close", f"{code} {reason}")
        short = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        await self._socket.close(code, short)


class _Stream:
    """Writes ready-made frames at real time on an absolute schedule, each session with its phase.

    It writes to the transport itself: one call per frame, no task, no copy but TLS.
    """

    def __init__(
        self, socket: ServerConnection, log: SessionLog, frames: Sequence[bytes], chunk_ms: int
    ) -> None:
        self._socket = socket
        self._log = log
        self._frames = frames
        self._chunk_s = chunk_ms / 1000
        self._next = 0
        self._due = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin at a phase that spreads sessions over the chunk (by the golden ratio)."""
        self._due = self._loop.time() + self._log.number * 0.618 % 1.0 * self._chunk_s
        self._timer = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        if self._socket.state is not State.OPEN:
            return
        transport = self._socket.transport
        now = self._loop.time()
        while self._due <= now + _TIMER_S:
            if transport.get_write_buffer_size() > _UNREAD_BYTES:
                self._log.frames_skipped += 1
            else:
                transport.write(self._frames[self._next % len(self._frames)])
                self._log.frames_sent += 1
                self._log.audio_sent_ms += self._chunk_s * 1000
            self._next += 1
            self._due += self._chunk_s
        self._timer = self._loop.call_at(self._due, self._tick)
