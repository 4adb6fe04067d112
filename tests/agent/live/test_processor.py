"""The session as a Pipecat processor: which frames go in, which come out, and where to."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import (
    FrameDirection,
    FrameProcessor,
    FrameProcessorSetup,
)
from pipecat.utils.asyncio.task_manager import TaskManager

from agent import events
from agent.audio import PcmChunk
from agent.commands import ToolResponse
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason
from agent.conversation.transcript import Transcript
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.processor import LiveProcessor
from agent.live.session import LiveSession
from agent.spec import AgentSpec
from agent.tools.runner import ToolAnswers, ToolRunner
from tests.fakes.live_connection import FakeDialer
from tests.fakes.playout import FakePlayout

AUDIO = events.AudioReceived(PcmChunk(b"\0\x10" * 480, 24_000))
SPEECH = [TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame]


class Tap(FrameProcessor):
    """Keeps the frames that reach it."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.frames: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        self.frames.append(frame)

    def kinds(self) -> list[type[Frame]]:
        return [type(frame) for frame in self.frames]

    def only(self, kind: type[Frame]) -> Any:
        (frame,) = (frame for frame in self.frames if isinstance(frame, kind))
        return frame


class Line:
    """A processor between two taps."""

    def __init__(self, **options: Any) -> None:
        spec = AgentSpec(name="test", system_instruction="Be kind.")
        playout = FakePlayout()
        self.dialer = FakeDialer()
        self.session = LiveSession(
            spec=spec,
            opening=Opening("Be kind."),
            dialer=self.dialer,
            tools=ToolRunner({}, timeout_s=1),
            transcript=Transcript(playout),
            playout=playout,
        )
        self.live = LiveProcessor(self.session, **options)
        self.up, self.down = Tap(), Tap()
        self.up.link(self.live)
        self.live.link(self.down)

    async def started(self, *, metrics: bool = False) -> Line:
        if metrics:
            await self.live.setup(
                FrameProcessorSetup(
                    clock=SystemClock(),  # type: ignore[no-untyped-call]  # Pipecat 1.14
                    task_manager=TaskManager(),
                    pipeline_worker=None,  # type: ignore[arg-type]  # not used here
                    enable_metrics=True,
                    enable_usage_metrics=True,
                )
            )
        await self.live.queue_frame(StartFrame())
        self.up.frames.clear()
        self.down.frames.clear()
        return self

    async def hear(self, *happened: Any) -> Line:
        for event in happened:
            await self.live.on_event(event)
        return self


async def test_answer_comes_out_in_the_order_of_pipecats_own_service() -> None:
    """Response and speech are bracketed; text is pushed for watchers and for keepers."""
    line = await Line().started()
    await line.hear(
        events.OutputTranscribed("Hello."),
        AUDIO,
        AUDIO,
        events.GenerationCompleted(),
        events.TurnCompleted(),
    )
    assert line.down.kinds() == [
        LLMFullResponseStartFrame,
        LLMTextFrame,
        TTSTextFrame,
        TTSStartedFrame,
        TTSAudioRawFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
        LLMFullResponseEndFrame,
    ]
    audio = line.down.frames[4]
    assert isinstance(audio, TTSAudioRawFrame)
    assert (audio.audio, audio.sample_rate, audio.num_channels) == (AUDIO.audio.pcm, 24_000, 1)
    assert line.up.frames == []


async def test_audio_takes_the_short_cut_it_is_given() -> None:
    """Audio alone goes past Pipecat's way of pushing; what brackets it does not."""
    line = await Line().started()
    taken: list[tuple[bytes, int]] = []

    def take(pcm: bytes, rate_hz: int) -> None:
        taken.append((pcm, rate_hz))

    line.live.play = take
    await line.hear(AUDIO, AUDIO, events.GenerationCompleted())
    assert taken == [(AUDIO.audio.pcm, 24_000)] * 2
    assert line.down.kinds() == [LLMFullResponseStartFrame, TTSStartedFrame, TTSStoppedFrame]


async def test_turn_without_audio_has_no_speech() -> None:
    """An acknowledgement is no speech, and an empty turn is no response."""
    line = await Line().started()
    await line.hear(events.TurnCompleted(), events.GenerationCompleted())
    assert line.down.frames == []


async def test_thoughts_are_not_pushed() -> None:
    """Nothing downstream can speak or store what was only thought."""
    line = await Line().started()
    await line.hear(events.ThoughtReceived("The caller seems upset."))
    assert line.down.frames == line.up.frames == []


async def test_barge_in_is_broadcast_after_speech_has_ended() -> None:
    """Both directions hear of it, and the next audio is new speech."""
    line = await Line().started()
    await line.hear(AUDIO, events.Interrupted(), AUDIO)
    assert line.down.kinds() == [
        LLMFullResponseStartFrame,
        *SPEECH,
        InterruptionFrame,
        LLMFullResponseStartFrame,
        TTSStartedFrame,
        TTSAudioRawFrame,
    ]
    assert line.up.kinds() == [InterruptionFrame]


async def test_callers_words_go_upstream_sentence_by_sentence() -> None:
    """Fragments are joined; what has no full stop is complete when the model answers."""
    line = await Line().started()
    await line.hear(
        *(events.InputTranscribed(text) for text in (" Hello", ",", " there.", " One more")), AUDIO
    )
    texts = [frame.text for frame in line.up.frames if isinstance(frame, TranscriptionFrame)]
    assert texts == ["Hello, there.", "One more"]
    assert not [frame for frame in line.down.frames if isinstance(frame, TextFrame)]


async def test_callers_speech_is_told_both_ways() -> None:
    """Pipecat's turn frames come from energy, not from the server."""
    line = await Line().started()
    await line.hear(CallerSpeechStarted(0.0), CallerSpeechEnded(1.0, 900.0))
    assert (
        line.up.kinds()
        == line.down.kinds()
        == [
            UserStartedSpeakingFrame,
            UserStoppedSpeakingFrame,
        ]
    )


async def test_tool_is_told_both_ways_with_its_result() -> None:
    """Started, in progress, result: each with the call's id and arguments."""
    line = await Line().started()
    call = events.FunctionCall("id-1", "order_status", {"order_number": "7"})
    answer = ToolResponse("id-1", "order_status", {"output": "ready"})
    await line.hear(events.ToolCallsRequested((call,)), ToolAnswers((answer,)))
    assert (
        line.up.kinds()
        == line.down.kinds()
        == [
            FunctionCallsStartedFrame,
            FunctionCallInProgressFrame,
            FunctionCallResultFrame,
        ]
    )
    result = line.down.only(FunctionCallResultFrame)
    assert (result.tool_call_id, result.arguments) == ("id-1", {"order_number": "7"})
    assert result.result == {"output": "ready"}


async def test_delay_and_tokens_are_measured() -> None:
    """Time to the first audio after the caller stopped, and usage, as Pipecat's metrics."""
    line = await Line(clock=lambda: 10.0).started(metrics=True)
    await line.hear(
        CallerSpeechEnded(9.4, 900.0), AUDIO, events.UsageReported(100, 20, 120, thoughts_tokens=5)
    )
    found = [
        item for frame in line.down.frames if isinstance(frame, MetricsFrame) for item in frame.data
    ]
    ttfb, usage = found
    assert 0.6 <= ttfb.value < 2  # type: ignore[attr-defined]  # a union of metrics
    assert usage.value.completion_tokens == 25  # type: ignore[attr-defined]  # likewise


async def test_caller_audio_goes_to_the_session_and_no_further() -> None:
    """Unless something behind the session wants to see it."""
    for wanted in (False, True):
        line = await Line(pass_caller_audio=wanted).started()
        talk = asyncio.create_task(line.session.run())
        await line.live.queue_frame(InputAudioRawFrame(bytes(640), 16_000, 1))
        async with asyncio.timeout(2):
            while len(line.dialer.connection.audio) < 640:
                await line.dialer.connection.changed.wait()
        assert (InputAudioRawFrame in line.down.kinds()) is wanted
        line.session.end(EndReason.CALLER_HUNG_UP)
        await talk


async def test_keys_and_playout_are_told_to_the_session_and_pass() -> None:
    """Other processors may want them too."""
    line = await Line().started()
    for frame in (
        InputDTMFFrame(button=KeypadEntry.SEVEN),
        BotStartedSpeakingFrame(),
        BotStoppedSpeakingFrame(),
    ):
        await line.live.queue_frame(frame)
    assert line.down.kinds() == [InputDTMFFrame, BotStartedSpeakingFrame, BotStoppedSpeakingFrame]
    assert [record.digit for record in line.session.digits] == ["7"]


async def test_digits_are_played_with_their_pauses() -> None:
    """Tones are the transport's; a comma is half a second of silence between them."""
    line = await Line().started()
    await line.live.send_digits("12,#")
    first, pause, last = line.down.frames
    assert isinstance(first, OutputDTMFFrame)
    assert first.buttons == [KeypadEntry.ONE, KeypadEntry.TWO]
    assert isinstance(pause, OutputAudioRawFrame)
    assert len(pause.audio) / 2 / pause.sample_rate == 0.5
    assert isinstance(last, OutputDTMFFrame)


async def test_kept_greeting_is_whole_speech_even_before_the_pipeline_starts() -> None:
    """What happens before ``StartFrame`` is pushed right behind it."""
    line = Line()
    await line.live.on_greeting("Hello.", PcmChunk(bytes(1_600), 8_000))
    assert line.down.frames == []
    await line.live.queue_frame(StartFrame())
    assert line.down.kinds() == [
        StartFrame,
        LLMFullResponseStartFrame,
        TTSStartedFrame,
        LLMTextFrame,
        TTSTextFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
        LLMFullResponseEndFrame,
    ]


async def test_end_of_the_pipeline_ends_the_session() -> None:
    """A stopped pipeline leaves no session behind."""
    line = await Line().started()
    talk = asyncio.create_task(line.session.run())
    await line.live.queue_frame(EndFrame())
    async with asyncio.timeout(2):
        end = await talk
    assert end.reason is EndReason.WORKER_STOPPED
    assert line.down.kinds() == [EndFrame]


async def test_filler_is_sound_that_belongs_to_no_answer() -> None:
    """It opens no response and no speech, so nothing takes it for the agent's words."""
    line = await Line().started()
    await line.live.on_filler(PcmChunk(bytes(960), 24_000))
    (audio,) = line.down.frames
    assert isinstance(audio, OutputAudioRawFrame)
    assert not isinstance(audio, TTSAudioRawFrame)
    assert (audio.audio, audio.sample_rate) == (bytes(960), 24_000)


async def test_model_that_is_left_ends_what_it_was_saying() -> None:
    """What the next one says is speech and a response of its own; nothing is interrupted."""
    line = await Line().started()
    await line.hear(events.OutputTranscribed("We open"), AUDIO)
    await line.live.on_left()
    await line.hear(AUDIO)
    kinds = line.down.kinds()
    assert kinds.count(LLMFullResponseStartFrame) == 2
    assert kinds.count(LLMFullResponseEndFrame) == 1
    assert kinds.count(TTSStartedFrame) == 2
    assert kinds.index(TTSStoppedFrame) < kinds.index(LLMFullResponseEndFrame)
    assert InterruptionFrame not in kinds


async def test_leaving_a_model_that_says_nothing_pushes_nothing() -> None:
    """A move at a safe point is not to be seen."""
    line = await Line().started()
    await line.live.on_left()
    assert line.down.frames == line.up.frames == []
