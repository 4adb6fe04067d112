"""A media stream as a Pipecat transport, in direct mode.

``run`` reads the socket and hands each message to the side it is for. The stream ends by ``stop``,
by a close of either side, or by silence of the peer: Twilio sends fifty messages a second even
while the caller says nothing, so a socket that brings none is dead, though TCP may take minutes to
say so, and so is one that takes none.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.transports.base_transport import BaseTransport

from telephony.errors import MalformedMessage, MediaSocketClosed
from telephony.media_stream.codec import decode
from telephony.media_stream.handshake import CLOSE_ABNORMAL, StartedStream
from telephony.media_stream.input import MediaStreamInput, Rest
from telephony.media_stream.output import MediaStreamOutput
from telephony.media_stream.playout import Playout, PlayoutClock
from telephony.media_stream.ports import AudioTap, MediaSocket
from telephony.media_stream.protocol import CallerAudio, DigitPressed, MarkEchoed, Stopped

_WATCH_S: Final = 1.0
# Frames come every 20 ms; bursts after congestion were seen to take seconds, not tens of them.
_QUIET_S: Final = 20.0
# A half-dead socket blocked a send for good (github.com/bolna-ai/bolna/pull/970).
_SEND_S: Final = 5.0
_CLOSE_S: Final = 2.0
_GRACE_S: Final = 1.0
_LAST_WORDS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended: ``stop`` by Twilio, ``closed`` in order, or ``lost``."""

    kind: Literal["stop", "closed", "lost"]
    code: int
    detail: str = ""


class MediaStreamTransport(BaseTransport):
    """One stream. ``run`` must run for anything to be heard or said.

    ``counters`` names what was skipped, missed or lost; ``playout`` says what the caller has heard.
    """

    def __init__(
        self,
        socket: MediaSocket,
        started: StartedStream,
        *,
        tap: AudioTap | None = None,
        lead_ms: float = 160.0,
        clock: Callable[[], float] = time.monotonic,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._socket = socket
        self._protocol = started.protocol
        self._tap = tap
        playout = Playout(lead_ms=lead_ms, counters=self._protocol.counters)
        self.playout = PlayoutClock(playout, clock)
        self.counters: Mapping[str, int] = self._protocol.counters
        self._input = MediaStreamInput(name=f"{self.name}::Input")
        self._output = MediaStreamOutput(
            socket,
            playout,
            stream_sid=started.start.stream_sid,
            started_at=started.started_at,
            counters=self._protocol.counters,
            clock=clock,
            tap=tap,
            name=f"{self.name}::Output",
        )
        self._received = 0
        self._listening = False
        """Whether the reader waits for a message."""
        self._rest: asyncio.Task[object] | None = None
        """What is left to be done about a message before the next one."""
        self._tasks: asyncio.TaskGroup | None = None
        self._context = contextvars.Context()
        self._end: StreamEnd | None = None
        self._ended = asyncio.Event()

    def input(self) -> MediaStreamInput:
        """The processor the caller's audio comes from."""
        return self._input

    def output(self) -> MediaStreamOutput:
        """The processor that plays audio to the caller."""
        return self._output

    async def run(self) -> StreamEnd:
        """Serve the stream to its end, whoever ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks, self._context = tasks, contextvars.copy_context()
                reader = tasks.create_task(self._read())
                writer = tasks.create_task(self._write())
                announcer = tasks.create_task(self._output.announce())
                end = await self._watch()
                reader.cancel()
                if self._rest is not None:
                    self._rest.cancel()
                writer.cancel()
                self._output.finish()
                await asyncio.wait((announcer,), timeout=_LAST_WORDS_S)
                announcer.cancel()
        finally:
            self._output.finish()
        if end.kind == "lost":
            await self._close_socket(end.detail)
        return end

    async def close(self, reason: str) -> None:
        """End the stream from our side; takes two seconds at most."""
        self._finish(StreamEnd("closed", 1000, reason))
        await self._close_socket(reason)

    async def _read(self) -> None:
        # Until the pipeline runs, what the caller says waits in the socket: nothing is lost.
        await self._input.started.wait()
        self._socket.listen(self._take)
        while self._end is None:
            try:
                text = await self._receive()
            except MediaSocketClosed as error:
                await self._settled()
                kind: Literal["lost", "closed"] = (
                    "lost" if error.code == CLOSE_ABNORMAL else "closed"
                )
                self._finish(StreamEnd(kind, error.code, error.reason))
                return
            await self._settled()
            self._received += 1
            rest = self._handle(text)
            if rest is not None:
                await rest

    async def _receive(self) -> str | bytes:
        self._listening = True
        try:
            return await self._socket.receive()
        finally:
            self._listening = False

    async def _settled(self) -> None:
        """Wait until nothing is left to be done about an earlier message."""
        if self._rest is not None:
            await asyncio.wait((self._rest,))

    def _take(self, text: str) -> bool:
        """Deal with a message right where it comes; False leaves it to the reader.

        To wake a task for each of a call's fifty messages a second would cost more CPU.
        """
        if not self._listening or self._rest is not None or self._end is not None:
            return False
        assert self._tasks is not None
        self._received += 1
        try:
            rest = self._context.run(self._handle, text)
        except Exception as error:  # noqa: BLE001  it ends the stream, not the socket's reading
            rest = _fail(error)
        if rest is not None:
            try:
                self._rest = self._tasks.create_task(rest, context=self._context)
            except RuntimeError:  # something has failed before, and all of it is being ended
                rest.close()
                return True
            self._rest.add_done_callback(self._forget)
        return True

    def _forget(self, _rest: asyncio.Task[object]) -> None:
        self._rest = None

    def _handle(self, text: str | bytes) -> Rest:
        """Do what a message wants; return what is left to be done."""
        try:
            event = self._protocol.receive(decode(text))
        except MalformedMessage:
            self._protocol.counters["media_malformed"] += 1
            return None
        if isinstance(event, CallerAudio):
            if self._tap is not None:
                self._tap.caller_audio(event.ulaw, at_ms=event.at_ms)
            return self._input.hear(event.ulaw)
        if isinstance(event, MarkEchoed):
            self._output.mark_echoed(event.name)
        elif isinstance(event, DigitPressed):
            return self._press(event.digit)
        elif isinstance(event, Stopped):
            return self._stop()
        return None

    async def _stop(self) -> None:
        await self._input.hang_up()
        self._finish(StreamEnd("stop", 1000))

    async def _press(self, digit: str) -> None:
        try:
            key = KeypadEntry(digit)
        except ValueError:
            # Keys A to D exist in Q.23 but not in Pipecat.
            self._protocol.counters["dtmf_unknown"] += 1
            return
        await self._input.press(key)

    async def _write(self) -> None:
        try:
            await self._output.write()
        except MediaSocketClosed as error:
            # The reader may be about to read why: a ``stop``, or a close in order.
            await asyncio.sleep(_GRACE_S)
            self._finish(StreamEnd("lost", error.code, "the socket takes no more audio"))

    async def _watch(self) -> StreamEnd:
        """Wait for the end, and find it where nobody says it."""
        quiet_s, seen = 0.0, -1
        while self._end is None:
            try:
                async with asyncio.timeout(_WATCH_S):
                    await self._ended.wait()
            except TimeoutError:
                self._output.still_speaking()
                # While the pipeline holds us up, it is not Twilio that is quiet.
                idle = self._listening and self._rest is None
                quiet = idle and self._received == seen
                quiet_s = quiet_s + _WATCH_S if quiet else 0.0
                seen = self._received
                if quiet_s >= _QUIET_S:
                    self._lose(f"no message from Twilio for {_QUIET_S:g} s")
                elif self._output.blocked_s() >= _SEND_S:
                    self._protocol.counters["sends_failed"] += 1
                    self._lose(f"Twilio took no audio for {_SEND_S:g} s")
        return self._end

    def _lose(self, detail: str) -> None:
        self._finish(StreamEnd("lost", CLOSE_ABNORMAL, detail))

    def _finish(self, end: StreamEnd) -> None:
        if self._end is None:
            self._end = end
            self._ended.set()

    async def _close_socket(self, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                # RFC 6455, section 5.5: a close reason has at most 123 bytes.
                await self._socket.close(1000, reason.encode()[:123].decode(errors="ignore"))
        except (TimeoutError, MediaSocketClosed):
            pass


async def _fail(error: Exception) -> None:
    raise error
