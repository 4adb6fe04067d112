"""The caller's audio and digits to Pipecat: the input side of the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

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


class MediaStreamInput(FrameProcessor):
    """Brings the caller into the pipeline: 16 kHz audio in 20 ms frames, and digits."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, enable_direct_mode=True)
        self.push_audio: Callable[[bytes], Awaitable[None]] = self._push_frame_of
        """Takes the caller's audio on, 20 ms of PCM16 at 16 kHz. Whoever takes it as it is spares
        the frame, and goes past processors, observers and event handlers: where there are none."""
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

    async def hear(self, ulaw: bytes) -> None:
        """Push what the caller said, of any length; a rest waits for its frame."""
        if self._stopped:
            return
        for pcm in self._cutter.push(self._resampler.push(ulaw_to_pcm(ulaw))):
            await self.push_audio(pcm)

    async def press(self, digit: KeypadEntry) -> None:
        """Push a digit."""
        if not self._stopped:
            await self.push_frame(InputDTMFFrame(button=digit))

    async def hang_up(self) -> None:
        """Push the rest of a frame: nothing follows that would fill it."""
        rest = self._cutter.flush()
        if rest and not self._stopped:
            await self._push_frame_of(rest)

    async def _push_frame_of(self, pcm: bytes) -> None:
        await self.push_frame(InputAudioRawFrame(pcm, PIPELINE_RATE_HZ, 1))
