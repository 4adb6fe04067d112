"""The session as a Pipecat processor: Pipecat's standard frames in and out, in direct mode.

Caller audio and keys go to the session and end here, unless something further down wants to see
them. What the model does comes out as the frames Pipecat's own Gemini service pushes, in the same
directions, so that stock processors and observers work.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallFromLLM,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.text.base_text_aggregator import TextType

from agent import events
from agent.audio import INPUT_RATE_HZ, PcmChunk
from agent.conversation.record import EndReason
from agent.events import FunctionCall
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.session import LiveSession
from agent.live.session_events import SessionEvent
from agent.tools.runner import ToolAnswers

_SENTENCE_END = re.compile(r"[.!?…。！？]\s*$")
# A comma in a string of digits, as in modem commands.
_COMMA_MS = 500
_DIGIT_RATE_HZ = 8_000


class LiveProcessor(FrameProcessor):
    """A session in a pipeline; ``session.run()`` is the caller's to run.

    Args:
        session: The session to feed and to listen to.
        pass_caller_audio: Push caller audio on downstream, for processors behind this one.
        on_key: Told of each key of the caller's phone.
        clock: The session's clock.
    """

    def __init__(
        self,
        session: LiveSession,
        *,
        pass_caller_audio: bool = False,
        on_key: Callable[[str], None] = lambda _key: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="live", enable_direct_mode=True)
        self.play: Callable[[bytes, int], None] | None = None
        """Plays the model's audio: PCM16 and its rate in Hz. It spares the frame, and goes past
        processors, observers and event handlers: where there are none. None: frames are pushed."""
        self._session = session
        self._pass_caller_audio = pass_caller_audio
        self._on_key = on_key
        self._clock = clock
        self._speaking = False
        self._responding = False
        self._heard = ""
        self._calls: dict[str, FunctionCall] = {}
        self._pipeline_started = False
        # Bound: what can happen before the pipeline's StartFrame; the oldest is dropped.
        self._early: deque[Frame] = deque(maxlen=1_000)
        session.listen(self)

    def can_generate_metrics(self) -> bool:
        """Time to first byte and token usage are reported."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Feed the session with what is meant for it; everything else passes through."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            if frame.sample_rate != INPUT_RATE_HZ:
                raise ValueError(f"caller audio at {frame.sample_rate} Hz, not {INPUT_RATE_HZ}")
            await self._session.send_caller_audio(frame.audio)
            if self._pass_caller_audio:
                await self.push_frame(frame, direction)
            return
        if isinstance(frame, InputDTMFFrame):
            self._on_key(frame.button.value)
            await self._session.send_digit(frame.button.value)
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._session.bot_started()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._session.bot_stopped()
        elif isinstance(frame, EndFrame | CancelFrame):
            self._session.end(EndReason.WORKER_STOPPED, "the pipeline was stopped")
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._pipeline_started = True
            while self._early:
                await self.push_frame(self._early.popleft())

    def hear(self, pcm: bytes) -> Coroutine[Any, Any, object] | None:
        """Take in caller audio, PCM16 at 16 kHz; what a frame with it is taken for.

        Returns:
            What is left to be done, before anything else is heard; None: nothing.
        """
        if self._pass_caller_audio:
            return self.process_frame(
                InputAudioRawFrame(pcm, INPUT_RATE_HZ, 1), FrameDirection.DOWNSTREAM
            )
        return self._session.hear_caller(pcm)

    @property
    def plays_on(self) -> bool:
        """Whether ``play_on`` can play more of an answer."""
        return self._speaking and self._pipeline_started and self.play is not None

    def play_on(self, audio: PcmChunk) -> None:
        """Play more of an answer, at once."""
        assert self.play is not None
        self.play(audio.pcm, audio.rate_hz)

    async def send_digits(self, digits: str) -> None:
        """Play touch tones to the other side; a comma is a pause of half a second."""
        for run in re.findall(r",|[^,]+", digits):
            if run == ",":
                silence = bytes(_DIGIT_RATE_HZ * 2 * _COMMA_MS // 1000)
                await self._push(OutputAudioRawFrame(silence, _DIGIT_RATE_HZ, 1))
            else:
                await self._push(OutputDTMFFrame.from_string(run))

    async def on_greeting(self, text: str, audio: PcmChunk) -> None:
        """Play a kept greeting."""
        await self._begin_speech()
        await self._push_text(text)
        await self._push(TTSAudioRawFrame(audio.pcm, audio.rate_hz, 1))
        await self._end_speech()
        await self._end_response()

    async def on_filler(self, audio: PcmChunk) -> None:
        """Play a sound that belongs to no answer."""
        await self._push(OutputAudioRawFrame(audio.pcm, audio.rate_hz, 1))

    async def on_left(self) -> None:
        """End what the model was saying; its last words are still played."""
        await self._end_speech()
        await self._end_response()

    async def on_event(self, event: SessionEvent) -> None:
        """Push what happened in the session as frames."""
        match event:
            case events.AudioReceived(audio):
                if not self._speaking:
                    await self.stop_ttfb_metrics()
                    await self._begin_speech()
                await self._push_audio(audio)
            case events.OutputTranscribed(text):
                if text:
                    await self._begin_response()
                    await self._push_text(text)
            case events.InputTranscribed(text, finished):
                await self._caller_said(text, finished)
            case events.GenerationCompleted():
                await self._end_speech()
            case events.TurnCompleted():
                await self._flush_caller_text()
                await self._end_speech()
                await self._end_response()
            case events.Interrupted():
                await self._end_speech()
                self._responding = False
                await self.broadcast_interruption()  # type: ignore[no-untyped-call]  # Pipecat 1.14
            case events.ToolCallsRequested(calls):
                await self._tools_called(calls)
            case events.ToolCallsCancelled(ids):
                await self._tools_cancelled(ids)
            case ToolAnswers():
                await self._tools_answered(event)
            case events.UsageReported():
                await self._report_usage(event)
            case CallerSpeechStarted():
                await self.broadcast_frame(UserStartedSpeakingFrame)
            case CallerSpeechEnded(at_s):
                await self.start_ttfb_metrics(start_time=time.time() - (self._clock() - at_s))
                await self.broadcast_frame(UserStoppedSpeakingFrame)
            case _:
                pass

    async def _push(self, frame: Frame) -> None:
        if self._pipeline_started:
            await self.push_frame(frame)
        else:
            self._early.append(frame)

    async def _push_audio(self, audio: PcmChunk) -> None:
        if self._pipeline_started and self.play is not None:
            self.play(audio.pcm, audio.rate_hz)
        else:
            await self._push(TTSAudioRawFrame(audio.pcm, audio.rate_hz, 1))

    async def _begin_response(self) -> None:
        if self._responding:
            return
        self._responding = True
        await self._flush_caller_text()
        await self._push(LLMFullResponseStartFrame())

    async def _begin_speech(self) -> None:
        await self._begin_response()
        self._speaking = True
        await self._push(TTSStartedFrame())

    async def _end_speech(self) -> None:
        if self._speaking:
            self._speaking = False
            await self._push(TTSStoppedFrame())

    async def _end_response(self) -> None:
        if self._responding:
            self._responding = False
            await self._push(LLMFullResponseEndFrame())

    async def _push_text(self, text: str) -> None:
        # As Pipecat's own service does: one for those who watch the model, one for those who keep
        # what was spoken.
        model_text = LLMTextFrame(text)
        model_text.append_to_context = False
        await self._push(model_text)
        spoken_text = TTSTextFrame(text, text_type=TextType.SENTENCE)
        spoken_text.includes_inter_frame_spaces = True
        await self._push(spoken_text)

    async def _caller_said(self, text: str, finished: bool) -> None:
        self._heard += text
        if finished or _SENTENCE_END.search(self._heard):
            await self._flush_caller_text()

    async def _flush_caller_text(self) -> None:
        text, self._heard = self._heard.strip(), ""
        if text:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            frame = TranscriptionFrame(text=text, user_id="", timestamp=now, finalized=True)
            await self.push_frame(frame, FrameDirection.UPSTREAM)

    async def _tools_called(self, calls: tuple[FunctionCall, ...]) -> None:
        await self._flush_caller_text()
        self._calls.update((call.id, call) for call in calls)
        await self.broadcast_frame(
            FunctionCallsStartedFrame,
            function_calls=[
                FunctionCallFromLLM(
                    function_name=call.name,
                    tool_call_id=call.id,
                    arguments=call.args,
                    context=None,
                )
                for call in calls
            ],
        )
        for call in calls:
            await self.broadcast_frame(
                FunctionCallInProgressFrame,
                function_name=call.name,
                tool_call_id=call.id,
                arguments=call.args,
            )

    async def _tools_answered(self, answers: ToolAnswers) -> None:
        for answer in answers.responses:
            call = self._calls.pop(answer.id, None)
            await self.broadcast_frame(
                FunctionCallResultFrame,
                function_name=answer.name,
                tool_call_id=answer.id,
                arguments=call.args if call is not None else {},
                result=answer.response,
            )

    async def _tools_cancelled(self, ids: tuple[str, ...]) -> None:
        for call_id in ids:
            call = self._calls.pop(call_id, None)
            if call is not None:
                await self.broadcast_frame(
                    FunctionCallCancelFrame, function_name=call.name, tool_call_id=call_id
                )

    async def _report_usage(self, usage: events.UsageReported) -> None:
        # Tool results count as input and thoughts as output, beside the two counts (observed).
        prompt = usage.prompt_tokens + usage.tool_use_prompt_tokens
        completion = usage.response_tokens + usage.thoughts_tokens
        await self.start_llm_usage_metrics(
            LLMTokenUsage(
                prompt_tokens=prompt,
                completion_tokens=completion,
                total_tokens=prompt + completion,
                cache_read_input_tokens=usage.cached_tokens,
                reasoning_tokens=usage.thoughts_tokens,
            )
        )
