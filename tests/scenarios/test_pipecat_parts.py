"""Pipecat's own processors and observers do their work in a call."""

from __future__ import annotations

from pathlib import Path

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    FunctionCallResultFrame,
    InputDTMFFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, MetricsData, TTFBMetricsData
from pipecat.observers.base_observer import BaseObserver, FrameProcessed, FramePushed
from pipecat.observers.function_call_observer import FunctionCallEventKind, FunctionCallObserver
from pipecat.observers.speaking_observer import SpeakingObserver, SpeechEventKind
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor
from pipecat.processors.frame_processor import FrameDirection

from agent.spec import Processors
from tests.scenarios.rig import (
    ANSWER,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    caller_turns,
    evercall,
    played_ms,
    spoken_ms,
)
from tests.tone import strongest_hz
from workers.twin.caller import HangUp, Press, Say, Tone, WaitAgentDone, WaitAgentSpoke
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn

STOCK = Processors(
    caller=("pipecat.processors.logger:FrameLogger",),
    agent=("pipecat.processors.audio.audio_buffer_processor:AudioBufferProcessor",),
)


class Recorder(BaseObserver):
    """Starts Pipecat's own audio buffer, and takes what it recorded of either side."""

    def __init__(self) -> None:
        super().__init__()
        self.tracks: list[tuple[bytes, bytes, int]] = []
        self._buffer: AudioBufferProcessor | None = None

    async def on_process_frame(self, data: FrameProcessed) -> None:
        if self._buffer is None and isinstance(data.processor, AudioBufferProcessor):
            self._buffer = data.processor
            self._buffer.add_event_handler("on_track_audio_data", self._take)
            await self._buffer.start_recording()  # type: ignore[no-untyped-call]  # Pipecat 1.14

    async def _take(
        self, _buffer: AudioBufferProcessor, caller: bytes, agent: bytes, rate_hz: int, _count: int
    ) -> None:
        self.tracks.append((caller, agent, rate_hz))


class Frames(BaseObserver):
    """Notes the frames of the conversation that have no stock observer to note them."""

    def __init__(self) -> None:
        super().__init__(observe_every_push=False)
        self.texts: list[str] = []
        self.transcripts: list[str] = []
        self.audio_bytes = 0
        self.results = 0
        self.metrics: set[type[MetricsData]] = set()

    async def on_push_frame(self, data: FramePushed) -> None:
        match data.frame:
            case LLMTextFrame(text=text):
                self.texts.append(text)
            case TranscriptionFrame(text=text):
                self.transcripts.append(text)
            case TTSAudioRawFrame(audio=audio):
                self.audio_bytes += len(audio)
            case FunctionCallResultFrame():
                self.results += data.direction is FrameDirection.DOWNSTREAM
            case MetricsFrame(data=items):
                self.metrics |= {type(item) for item in items}


async def test_stock_processors_named_in_the_spec_see_the_call(tmp_path: Path) -> None:
    """A logger on the caller's side sees its frames, an audio buffer on the agent's side both."""
    recorder = Recorder()
    lines: list[str] = []
    sink = 0
    async with evercall(
        tmp_path, agent=bakery(processors=STOCK), observers=lambda: [recorder]
    ) as rig:
        sink = logger.add(lambda line: lines.append(str(line)), level="DEBUG")
        try:
            result, record = await rig.call(
                WaitAgentDone(300), Press("5"), WaitAgentDone(300), Tone(1_000, 800),
                WaitAgentDone(300), HangUp(),
            )  # fmt: skip
        finally:
            logger.remove(sink)
    # Nothing is missing for having passed through them.
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER, ANSWER]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - 2 * spoken_ms(ANSWER)) <= 100
    logged = "\n".join(line for line in lines if "Frame:" in line)
    for name in (InputDTMFFrame, EndFrame, TranscriptionFrame):
        assert name.__name__ in logged
    ((caller, agent, rate_hz),) = recorder.tracks
    assert rate_hz == 24_000
    assert abs(strongest_hz(caller, rate_hz=rate_hz) - 1_000) < 5
    loud_ms = sum(
        any(abs(int.from_bytes(agent[at + n : at + n + 2], "little", signed=True)) > 400
            for n in range(0, 480, 20))
        for at in range(0, len(agent) - 480, 480)
    ) * 10  # fmt: skip
    assert loud_ms > 0.6 * played_ms(result, 0)


async def test_stock_observers_see_the_frames_of_a_call(tmp_path: Path) -> None:
    """Speech of both sides, an interruption, a tool and metrics, in Pipecat's own words."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(
            Turn(QUESTION, (script.Say("We have rye bread, and rolls, and cakes, and pies."),)),
            Turn("Which order?", (script.Say(ANSWER),)),
        ),
        texts=(
            TextRule(
                r"pressed (\d)",
                (CallTool("order_status", {"order_number": "{1}"}), script.Say("Ok.")),
            ),
        ),
        answer_delay_s=0.1,
    )
    spec = bakery(tools=("workers.twin.demo_tools:order_status",))
    speaking, tools, frames = SpeakingObserver(), FunctionCallObserver(), Frames()
    spoken: list[SpeechEventKind] = []
    called: list[FunctionCallEventKind] = []

    @speaking.event_handler("on_speech_event")  # type: ignore[untyped-decorator]  # Pipecat 1.14
    async def _(_observer: object, event: object) -> None:
        spoken.append(event.kind)  # type: ignore[attr-defined]  # SpeechEvent

    @tools.event_handler("on_function_call_event")  # type: ignore[untyped-decorator]  # Pipecat 1.14
    async def _(_observer: object, event: object) -> None:
        called.append(event.kind)  # type: ignore[attr-defined]  # FunctionCallEvent

    async with evercall(
        tmp_path, model, agent=spec, observers=lambda: [speaking, tools, frames]
    ) as rig:
        _, record = await rig.call(
            WaitAgentDone(300),
            Say(QUESTION),
            WaitAgentSpoke(600),
            Say("Which order, please?"),
            WaitAgentDone(300),
            Press("7"),
            WaitAgentDone(300),
            HangUp(),
        )
    kinds = SpeechEventKind
    started, stopped = kinds.BOT_SPEECH_STARTED, kinds.BOT_SPEECH_STOPPED
    bot = [kind for kind in spoken if kind in (started, stopped)]
    assert bot == [started, stopped] * 4
    user = [k for k in spoken if k in (kinds.USER_TURN_STARTED, kinds.USER_TURN_STOPPED)]
    assert user == [kinds.USER_TURN_STARTED, kinds.USER_TURN_STOPPED] * 2
    assert spoken.count(kinds.INTERRUPTION) == len(record.barge_ins) == 1
    assert called == [
        FunctionCallEventKind.STARTED,
        FunctionCallEventKind.IN_PROGRESS,
        FunctionCallEventKind.COMPLETED,
    ]
    assert frames.transcripts == [turn.said for turn in caller_turns(record)]
    assert "".join(frames.texts).replace(" ", "") == "".join(
        turn.said for turn in agent_turns(record)
    ).replace(" ", "")
    assert frames.audio_bytes > 24_000
    assert frames.results == 1
    assert TTFBMetricsData in frames.metrics
    assert LLMUsageMetricsData in frames.metrics
