"""What is kept of a stream, however its end goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.conversation.record import EndReason
from agent.spec import Processors
from agent.spec import Recording as RecordingSpec
from tests.scenarios.rig import GREETING, agent_turns, bakery, evercall, until
from workers.call.recording import Recording
from workers.twin.caller import HangUp, WaitAgentDone


async def test_stream_that_is_ended_while_its_disk_hangs_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is handed to the store, though nobody waits for the recording any more."""

    async def hang(_recording: Recording) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(Recording, "close", hang)
    async with evercall(tmp_path, agent=bakery(recording=RecordingSpec(enabled=True))) as rig:
        result = await rig.phone(WaitAgentDone(300), HangUp())
        await until(lambda: not len(rig.worker.active))
        record = await rig.record(result.sid)
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]


class KeepsTheEnd(FrameProcessor):
    """A processor whose author forgot to pass on what ends a pipeline."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, EndFrame | CancelFrame):
            await self.push_frame(frame, direction)


async def test_processor_that_keeps_the_end_frame_does_not_keep_the_call(tmp_path: Path) -> None:
    """The call is over and stored, its place is free, and no task of it is left."""
    processors = Processors(agent=(f"{__name__}:KeepsTheEnd",))
    async with evercall(tmp_path, agent=bakery(processors=processors)) as rig:
        result = await rig.phone(WaitAgentDone(300), HangUp())
        await until(lambda: not rig.worker.runner.live)
        assert (await rig.record(result.sid)).end_reason is EndReason.CALLER_HUNG_UP
        assert not [task for task in asyncio.all_tasks() if "KeepsTheEnd" in task.get_name()]
