"""The caller's audio and digits to Pipecat: the input side of the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    ClientConnectedFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    StartFrame,
    StopFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from telephony.audio.frames import FRAME_MS, FrameCutter
from telephony.audio.g711 import RATE_HZ, ulaw_to_pcm
from telephony.audio.resample import Resampler

# What the Live API takes natively.
PIPELINE_RATE_HZ: Final = 16_000

Rest = Coroutine[Any, Any, object] | None
"""What is left of something that is done at once as a rule; None where it is done."""


class MediaStreamInput(FrameProcessor):
    """Brings the caller into the pipeline: 16 kHz audio in 20 ms frames, and digits."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, enable_direct_mode=True)
        self.push_audio: Callable[[bytes], Rest] = self._push_frame_of
        """Takes the caller's audio on, 20 ms of PCM16 at 16 kHz, and returns what is left to be
        awaited. Whoever takes it as it is spares the frame, and goes past processors, observers and
        event handlers: where there are none."""
        self.started = asyncio.Event()
        self._stopped = False
        self._resampler = Resampler(RATE_HZ, PIPELINE_RATE_HZ)
        self._cutter = FrameCutter(PIPELINE_RATE_HZ * FRAME_MS // 1000 * 2)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on; note when the pipeline runs."""
        await super().process_frame(frame, direction)
        if isinstance(frame, EndFrame | CancelFrame | StopFrame):
            self._stopped = True
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(ClientConnectedFrame())
            self.started.set()

    def hear(self, ulaw: bytes) -> Rest:
        """Push what the caller said, of any length; what fills no frame waits for more.

        Returns:
            What is left to be done, before anything else is pushed; None: nothing.
        """
        if self._stopped:
            return None
        frames = self._cutter.push(self._resampler.push(ulaw_to_pcm(ulaw)))
        for number, pcm in enumerate(frames, start=1):
            rest = self.push_audio(pcm)
            if rest is not None:
                more = frames[number:]
                return self._push_after(rest, more) if more else rest
        return None

    async def _push_after(
        self, before: Coroutine[Any, Any, object], frames: Sequence[bytes]
    ) -> None:
        await before
        for pcm in frames:
            rest = self.push_audio(pcm)
            if rest is not None:
                await rest

    async def press(self, digit: KeypadEntry) -> None:
        """Push a digit."""
        if not self._stopped:
            await self.push_frame(InputDTMFFrame(button=digit))

    async def hang_up(self) -> None:
        """Push the rest of a frame: nothing follows that would fill it."""
        rest = self._cutter.flush()
        if rest and not self._stopped:
            await self._push_frame_of(rest)

    def _push_frame_of(self, pcm: bytes) -> Coroutine[Any, Any, None]:
        return self.push_frame(InputAudioRawFrame(pcm, PIPELINE_RATE_HZ, 1))
