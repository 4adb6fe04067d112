"""Pipecat's audio to Twilio: the output side of the transport.

Frames are taken in at once, whatever their length and rate, and converted as a whole. What the
playout says is due is written as soon as it is: by whoever brings audio or an echo, or by a timer.
Only what the socket does not take at once is left to a task, ``write``, that waits for it. Another,
``announce``, tells the pipeline when the agent starts and stops to speak, so that no processor can
hold up the audio.

Unlike Pipecat's own transports it does not pass audio on downstream: behind it is only the end of
the pipeline, and observers have seen the audio pushed to it.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from typing import Final

from pipecat.frames.frames import (
    BotSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputTransportReadyFrame,
    StartFrame,
    StopFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from telephony.audio.dtmf import dtmf_tones
from telephony.audio.g711 import RATE_HZ, pcm_to_ulaw, stereo_to_mono
from telephony.audio.resample import Resampler
from telephony.errors import MediaSocketClosed
from telephony.media_stream.codec import Encoder
from telephony.media_stream.messages import OutMedia
from telephony.media_stream.playout import Playout, SpeechStarted, SpeechStopped
from telephony.media_stream.ports import AudioTap, MediaSocket

# An EndFrame follows what was said; what is left of it may still be heard, for so long.
_END_DRAIN_S: Final = 2.0

# Two for each utterance and one for each second of it; more wait only behind a processor that
# hangs. What does not fit is dropped, newest first.
_MAX_ANNOUNCEMENTS: Final = 256

_Announcement = (
    type[BotStartedSpeakingFrame] | type[BotStoppedSpeakingFrame] | type[BotSpeakingFrame]
)


class MediaStreamOutput(FrameProcessor):
    """Plays the pipeline's audio to the caller."""

    def __init__(
        self,
        socket: MediaSocket,
        playout: Playout,
        *,
        stream_sid: str,
        started_at: float,
        counters: Counter[str],
        clock: Callable[[], float],
        tap: AudioTap | None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, enable_direct_mode=True)
        self._socket = socket
        self._playout = playout
        self._encoder = Encoder(stream_sid)
        self._started_at = started_at
        self._counters = counters
        self._clock = clock
        self._tap = tap
        self._resampler: Resampler | None = None
        self._rate_hz = RATE_HZ
        self._stopped = False
        # There while ``write`` has nothing to do; takes the message that is for it to send.
        self._waiter: asyncio.Future[str | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._sending_since: float | None = None
        self._fell_silent = asyncio.Event()
        self._announcements: asyncio.Queue[_Announcement | None] = asyncio.Queue(_MAX_ANNOUNCEMENTS)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Play audio and tones, obey interruption and end, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame) and direction is FrameDirection.DOWNSTREAM:
            self.play(self._mono(frame), frame.sample_rate)
            return
        if isinstance(frame, TTSStoppedFrame):
            self._end_utterance()
        elif isinstance(frame, InterruptionFrame):
            self._interrupt()
        elif isinstance(frame, OutputDTMFFrame | OutputDTMFUrgentFrame):
            self._play_digits(frame.to_string())
            return
        elif isinstance(frame, EndFrame):
            await self._drain()
            await self._stop()
        elif isinstance(frame, CancelFrame | StopFrame):
            await self._stop()
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    def play(self, pcm: bytes, rate_hz: int) -> None:
        """Play audio, PCM16, mono, of any length; what a frame with it is taken for."""
        if rate_hz != self._rate_hz:
            self._flush_resampler()
            self._rate_hz = rate_hz
            self._resampler = None if rate_hz == RATE_HZ else Resampler(rate_hz, RATE_HZ)
        if self._resampler is not None:
            pcm = self._resampler.push(pcm)
        self._offer(pcm_to_ulaw(pcm))

    def mark_echoed(self, name: str) -> None:
        """Twilio echoed a mark."""
        self._playout.mark_echoed(name, self._clock())
        if self._playout.has_news:
            self._wake()

    def blocked_s(self) -> float:
        """For how long the socket has not taken the message being sent."""
        return 0.0 if self._sending_since is None else self._clock() - self._sending_since

    async def write(self) -> None:
        """See that what is due is sent, when it is due, until the pipeline or the stream ends.

        Raises:
            MediaSocketClosed: Twilio is gone.
        """
        try:
            while not self._stopped:
                text = self._write_what_is_due()
                if text is None:
                    text = await self._wait()
                if text is not None:
                    await self._send(text)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _write_what_is_due(self) -> str | None:
        """Write as long as the socket takes it at once; return the message that it does not.

        Where nothing is left that is due, the timer is set for what will be.
        """
        playout = self._playout
        while not self._stopped:
            now = self._clock()
            command = playout.take(now)
            if command is None:
                self._set_timer(playout.deadline(), now)
                break
            if type(command) is OutMedia:
                if self._tap is not None:
                    at_ms = (playout.playing_from - self._started_at) * 1000
                    self._tap.agent_audio(command.payload, at_ms=at_ms)
            elif isinstance(command, SpeechStarted | SpeechStopped):
                self._announce(command)
                continue
            text = self._encoder.encode(command)
            if not self._socket.write(text):
                return text
        return None

    async def _send(self, text: str) -> None:
        self._sending_since = self._clock()
        try:
            await self._socket.send(text)
        except MediaSocketClosed:
            self._counters["sends_failed"] += 1
            raise
        self._sending_since = None

    async def announce(self) -> None:
        """Tell the pipeline when the agent starts and stops to speak, until ``finish``."""
        while (frame := await self._announcements.get()) is not None:
            await self.broadcast_frame(frame)

    def still_speaking(self) -> None:
        """Say so while the agent speaks; Pipecat's idle timers go by it."""
        if self._playout.speaking:
            self._queue_announcement(BotSpeakingFrame)

    def finish(self) -> None:
        """The stream is over: nothing more is heard, and ``announce`` returns after saying so."""
        self._abandon()
        self._stopped = True
        self._queue_announcement(None)

    def _mono(self, frame: OutputAudioRawFrame) -> bytes:
        pcm = frame.audio
        if len(pcm) % (2 * frame.num_channels):
            self._counters["agent_audio_uneven"] += 1
            pcm = pcm[: -(len(pcm) % (2 * frame.num_channels))]
        return stereo_to_mono(pcm) if frame.num_channels == 2 else pcm

    def _play_digits(self, digits: str) -> None:
        # Behind what is queued, the urgent ones too: Twilio plays in order, and a keypad is asked
        # for by what is being said.
        self._end_utterance()
        self._offer(dtmf_tones(digits))
        self._end_utterance()

    def _offer(self, ulaw: bytes) -> None:
        if self._stopped:
            # On the timeline, and never heard.
            self._playout.offer(ulaw, self._clock())
            self._playout.abandon(self._clock())
            return
        schedule_known = self._playout.queued
        self._playout.offer(ulaw, self._clock())
        if not schedule_known:
            self._wake()

    def _end_utterance(self) -> None:
        self._flush_resampler()
        self._playout.end_utterance()
        self._wake()

    def _flush_resampler(self) -> None:
        if self._resampler is not None:
            self._offer(pcm_to_ulaw(self._resampler.flush()))

    def _interrupt(self) -> None:
        if self._resampler is not None:
            self._resampler.reset()
        cut_at = self._playout.clear(self._clock())
        self._wake()
        if self._tap is not None:
            self._tap.agent_cleared(at_ms=(cut_at - self._started_at) * 1000)

    async def _drain(self) -> None:
        """Let what was said be heard, bounded."""
        self._end_utterance()
        try:
            async with asyncio.timeout(_END_DRAIN_S):
                while self._playout.unfinished:
                    self._fell_silent.clear()
                    await self._fell_silent.wait()
        except TimeoutError:
            self._counters["agent_audio_cut_at_end"] += 1

    async def _stop(self) -> None:
        self._abandon()
        self._stopped = True
        self._wake()
        while not self._announcements.empty():
            frame = self._announcements.get_nowait()
            if frame is None:
                # The stream is over as well: this is for ``announce``.
                self._announcements.put_nowait(None)
                break
            await self.broadcast_frame(frame)

    def _abandon(self) -> None:
        """Nothing more will be heard; if the agent was speaking, it has stopped."""
        now = self._clock()
        cut_at = self._playout.abandon(now)
        if self._tap is not None:
            self._tap.agent_cleared(at_ms=(cut_at - self._started_at) * 1000)
        while (command := self._playout.take(now)) is not None:
            if isinstance(command, SpeechStarted | SpeechStopped):
                self._announce(command)
        self._fell_silent.set()

    def _announce(self, command: SpeechStarted | SpeechStopped) -> None:
        if isinstance(command, SpeechStarted):
            self._queue_announcement(BotStartedSpeakingFrame)
        else:
            self._queue_announcement(BotStoppedSpeakingFrame)
            self._fell_silent.set()

    def _queue_announcement(self, frame: _Announcement | None) -> None:
        if self._announcements.full():
            self._counters["announcements_dropped"] += 1
            if frame is not None:
                return
            self._announcements.get_nowait()
        self._announcements.put_nowait(frame)

    async def _wait(self) -> str | None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self, deadline: float | None, now: float) -> None:
        if deadline is None or deadline >= self._timer_at:
            # A timer that is still under way is not replaced by a later one: it fires for nothing
            # now and then, which costs less than a new one for each frame.
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(deadline - now, self._time_out)
        self._timer_at = deadline

    def _time_out(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._wake()

    def _wake(self) -> None:
        """Something may be due, or all is over; ``write`` looks for itself where it is awake."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        try:
            text = self._write_what_is_due()
        except Exception as error:  # noqa: BLE001  # whoever brings audio is not to fail for it
            waiter.set_exception(error)
            return
        if text is not None or self._stopped:
            waiter.set_result(text)
