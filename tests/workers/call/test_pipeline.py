"""What is kept of a stream, however its end goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

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
