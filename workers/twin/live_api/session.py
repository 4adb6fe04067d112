"""One connection of the server: reads frames, runs an engine, sends what it gives back.

Audio is taken in as it arrives, in the socket's own callback, where no fault may have to wait for
something; what else comes is read by a task.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from workers.twin.live_api.connection import Connection
from workers.twin.live_api.conversation import Conversation
from workers.twin.live_api.endless import Endless
from workers.twin.live_api.engine import Engine, Send
from workers.twin.live_api.faults import DEADLINE_EXPIRED
from workers.twin.live_api.handles import HandleBook
from workers.twin.live_api.loops import Parrot, endless_frames
from workers.twin.live_api.memory import BLANK, Snapshot
from workers.twin.live_api.messages import AudioIn, RefusedError, invalid
from workers.twin.live_api.profiles import Profile
from workers.twin.live_api.script import LiveScript, ScriptSource
from workers.twin.live_api.session_log import SessionLog
from workers.twin.live_api.setup import Setup, read_setup
from workers.twin.live_api.strikes import Strikes
from workers.twin.live_api.understanding import Understanding
from workers.twin.live_api.usage import RATES, Rates
from workers.twin.live_api.wire import decode, encode, parse, plain_audio
from workers.twin.timers import whole_ms

# No source says how long the real server waits for a setup message.
_SETUP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a server share."""

    script: ScriptSource
    only: Profile | None
    speed: float | None
    setup_delay_s: float
    resume_delay_s: float
    time_scale: float
    seed: int
    turn_complete_after_interrupted: bool
    handles: HandleBook
    understanding: Understanding
    is_open: Callable[[int], bool]
    clock: Callable[[], float]
    rates: Rates = RATES
    window_tokens: int | None = None
    """None for what each model really holds."""


class Session:
    """Runs one connection from its upgrade to its close."""

    def __init__(
        self,
        socket: Connection,
        log: SessionLog,
        around: Surroundings,
    ) -> None:
        self._socket = socket
        self._log = log
        self._plan = socket.plan
        self._around = around
        self._vertex = socket.vertex
        self._clock = around.clock
        self._changed = asyncio.Event()
        self._outbox: list[Send] = []
        self._sleeps_until: float | None = None
        self._reading = False
        """Whether a message is being taken in that another one must wait for."""
        self._failure: Exception | None = None
        """Why no more audio is taken in; raised where the connection is written to."""
        self._snapshot = BLANK
        self._strikes = Strikes(socket, log, time_scale=around.time_scale, clock=around.clock)

    async def run(self) -> None:
        """Serve the connection; returns when it is closed, whoever closed it."""
        try:
            setup = await self._set_up()
            if setup is not None:
                await self._serve(setup)
        except RefusedError as refusal:
            await self._strikes.close(refusal.code, refusal.reason)
        except TimeoutError:
            await self._strikes.close(1011, DEADLINE_EXPIRED)
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
        setup = read_setup(
            message["setup"],
            vertex=self._vertex,
            only=self._around.only,
            window_tokens=self._around.window_tokens,
        )
        if setup.handle:
            self._resume(setup)
        if self._plan.hangs:
            self._log.note(self._clock(), "fault", "hang before setup")
            await self._socket.wait_closed()
            return None
        around = self._around
        delay_s = around.resume_delay_s if setup.handle else around.setup_delay_s
        await self._wait(delay_s + self._plan.setup_delay_s)
        refusal = self._plan.setup_refusal(resumes=bool(setup.handle))
        if refusal is not None:
            self._log.note(self._clock(), "fault", type(refusal).__name__)
            raise RefusedError(refusal.code, refusal.reason)
        complete = {"sessionId": str(uuid.uuid4())} if self._vertex else {}
        await self._socket.send(encode({"setupComplete": complete}))
        self._log.frames_sent += 1
        self._log.ready_at = self._clock()
        self._plan.arm(self._log.ready_at)
        return setup

    def _resume(self, setup: Setup) -> None:
        self._log.handle = setup.handle
        issued = self._around.handles.redeem(
            setup.handle, self._log.number, setup.model, self._around.is_open
        )
        self._log.resumed_from = issued.connection
        if not self._plan.forgets:
            self._snapshot = issued.snapshot

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
        stream: Endless | None = None
        engine: Engine
        if script.mode == "script":
            engine = self._strikes.conversation = self._converse(setup, script)
        else:
            engine = Parrot(mime)
            if script.mode != "parrot":
                frames = endless_frames(script, mime)
                stream = Endless(self._socket, self._log, frames, script.chunk_ms)
                stream.start()
        self._strikes.stream = stream
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(engine))
                await (self._read(engine) if stream is None else self._drain())
                writer.cancel()
        finally:
            if stream is not None:
                stream.stop()

    def _converse(self, setup: Setup, script: LiveScript) -> Conversation:
        around = self._around
        number = self._log.number

        def issue(snapshot: Snapshot) -> str:
            return around.handles.issue(number, setup.model, snapshot)

        conversation = Conversation(
            setup,
            script,
            self._log,
            new_handle=issue,
            snapshot=self._snapshot,
            understanding=around.understanding,
            quirks=self._plan.quirks(
                resumed=bool(setup.handle),
                turn_complete_after_interrupted=around.turn_complete_after_interrupted,
            ),
            rates=around.rates,
            # Far apart, so that no two connections of two seeds are alike.
            seed=around.seed * 1_000_003 + number,
        )
        self._log.sample(self._clock(), self._log.context_tokens)
        return conversation

    def _script(self) -> LiveScript:
        script = self._around.script
        if not isinstance(script, LiveScript):
            script = script(self._log.number, self._log.setup)
        return script if self._around.speed is None else replace(script, speed=self._around.speed)

    async def _read(self, engine: Engine) -> None:
        log = self._log
        self._socket.on_message = lambda frame: self._take_audio(engine, frame)
        try:
            async for frame in self._socket:
                if self._strikes.deaf or self._failure is not None:
                    await self._socket.wait_closed()
                    return
                self._reading = True
                log.frames_received += 1
                message = parse(frame)
                now = self._clock()
                decoded = decode(message)
                if isinstance(decoded, AudioIn):
                    log.audio(decoded.pcm, decoded.rate_hz, now)
                else:
                    log.message(message)
                engine.receive(decoded, now)
                await self._receive(engine, now)
                self._reading = False
                self._tell_writer(engine)
        except ConnectionClosed:
            pass
        except RefusedError as refusal:
            await self._strikes.close(refusal.code, refusal.reason)

    def _take_audio(self, engine: Engine, frame: bytes) -> bool:
        """Take in a message at once; False where it is no audio, or has to be read in its turn."""
        waits = self._reading or self._strikes.deaf or self._failure is not None
        if waits or not self._plan.only_time_strikes:
            return False
        audio = plain_audio(frame)
        if audio is None:
            return False
        now = self._clock()
        self._log.frames_received += 1
        self._log.audio(audio.pcm, audio.rate_hz, now)
        try:
            engine.receive(audio, now)
        except Exception as error:  # noqa: BLE001  (this is the event loop's: the writer raises it)
            self._failure = error
            self._changed.set()
            return True
        self._outbox += (send for send in engine.take() if send.data)
        self._tell_writer(engine)
        return True

    def _tell_writer(self, engine: Engine) -> None:
        if self._outbox or self._deadline(engine) != self._sleeps_until:
            self._changed.set()

    async def _receive(self, engine: Engine, now: float) -> None:
        """Take what the engine makes of a message; its faults strike before the next one."""
        plan, strikes = self._plan, self._strikes
        sends = engine.take()
        self._outbox += (send for send in sends if send.data)
        for send in sends:
            if not send.data:
                await strikes.strike(plan.happened(send.event, now))
        talk = strikes.conversation
        if talk is not None and talk.spoken_ms:
            await strikes.strike(plan.spoken(talk.utterances, talk.spoken_ms, now))
            self._outbox += engine.take()

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
            await self._strikes.close(refusal.code, refusal.reason)

    async def _write(self, engine: Engine) -> None:
        try:
            while self._socket.state is State.OPEN:
                await self._sleep(engine)
                if self._failure is not None:
                    raise self._failure
                now = self._clock()
                await self._strikes.strike(self._plan.due(now))
                engine.wake(now)
                self._outbox += engine.take()
                outbox, self._outbox = self._outbox, []
                for send in outbox:
                    await self._send(send)
                # What faults made of it.
                self._outbox += engine.take()
        except ConnectionClosed:
            pass
        except RefusedError as refusal:
            await self._strikes.close(refusal.code, refusal.reason)

    async def _send(self, send: Send) -> None:
        await self._strikes.strike(self._plan.before(send, self._clock()))
        if self._strikes.silenced or self._plan.mutes(send):
            return
        if self._socket.half_open:
            await self._socket.wait_closed()
        sent_at = self._clock()
        await self._socket.send_message(send.data)
        self._log.sent(send.answer, send.audio_ms, sent_at)
        await self._strikes.strike(self._plan.happened(send.event, self._clock()))

    async def _sleep(self, engine: Engine) -> None:
        self._sleeps_until = deadline = self._deadline(engine)
        if not self._outbox and not self._changed.is_set():
            timer: asyncio.TimerHandle | None = None
            if deadline is not None:
                # A timer and no timeout: that would cancel and begin anew, for each frame that is
                # sent.
                delay_s = whole_ms(deadline - self._clock())
                timer = asyncio.get_running_loop().call_later(delay_s, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        self._changed.clear()

    def _deadline(self, engine: Engine) -> float | None:
        engines, plans = engine.deadline, self._plan.deadline
        if engines is None or plans is None:
            return plans if engines is None else engines
        return min(engines, plans)
