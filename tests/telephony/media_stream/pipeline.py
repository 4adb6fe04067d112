"""A transport in a real Pipecat pipeline, on a Twilio in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pipecat.frames.frames import Frame, InputAudioRawFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from telephony.media_stream.handshake import receive_start
from telephony.media_stream.transport import MediaStreamTransport, StreamEnd
from tests.fakes.media_socket import FakeTwilio


class Probe(FrameProcessor):
    """Stands where the model would: keeps what passes, says what it is told to."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.frames: list[Frame] = []
        self.caller_pcm = bytearray()
        self.echoes = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            assert (frame.sample_rate, frame.num_channels) == (16_000, 1)
            self.caller_pcm += frame.audio
            return
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    async def say(self, pcm: bytes, rate_hz: int, *, channels: int = 1) -> None:
        await self.push_frame(TTSAudioRawFrame(pcm, rate_hz, channels))

    def names(self, *kinds: type[Frame]) -> list[str]:
        return [type(frame).__name__ for frame in self.frames if isinstance(frame, kinds)]


@dataclass
class Tap:
    """Keeps what a recording would."""

    caller: list[tuple[float, bytes]] = field(default_factory=list)
    agent: list[tuple[float, bytes]] = field(default_factory=list)
    cleared: list[float] = field(default_factory=list)

    def caller_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        self.caller.append((at_ms, ulaw))

    def agent_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        self.agent.append((at_ms, ulaw))

    def agent_cleared(self, *, at_ms: float) -> None:
        self.cleared.append(at_ms)


@dataclass
class Call:
    """One call on the bench."""

    twilio: FakeTwilio
    transport: MediaStreamTransport
    probe: Probe
    tap: Tap
    worker: PipelineWorker
    running: asyncio.Task[StreamEnd]

    async def ended(self) -> StreamEnd:
        async with asyncio.timeout(10):
            return await self.running

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, at most five seconds."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.005)


@asynccontextmanager
async def a_call(twilio: FakeTwilio | None = None) -> AsyncIterator[Call]:
    """A call whose stream has started and whose pipeline runs; both end with the block.

    A ``twilio`` handed in has said hello already.
    """
    if twilio is None:
        twilio = FakeTwilio()
        twilio.say_hello()
    started = await receive_start(twilio)
    tap = Tap()
    transport = MediaStreamTransport(twilio, started, tap=tap)
    probe = Probe()
    worker = PipelineWorker(
        Pipeline([transport.input(), probe, transport.output()]),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
        params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    pipeline = asyncio.create_task(runner.run())
    running = asyncio.create_task(transport.run())
    try:
        yield Call(twilio, transport, probe, tap, worker, running)
    finally:
        await worker.cancel()
        await transport.close("test is over")
        async with asyncio.timeout(10):
            await asyncio.gather(pipeline, running, return_exceptions=True)
