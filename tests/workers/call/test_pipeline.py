"""What is kept of a stream, however its end goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pipecat.frames.frames import CancelFrame, EndFrame, Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment, MoveRecord
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd
from agent.spec import Processors
from agent.spec import Recording as RecordingSpec
from telephony.calls import twiml
from telephony.calls.rest import TwilioRest
from telephony.settings import TwilioSettings
from tests.scenarios.rig import (
    APOLOGY,
    COLLEAGUE,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    evercall,
    held,
    said,
    until,
)
from workers.call.recording import Recording
from workers.call.steering import NO_AGENT_LEFT
from workers.store.messages import MessageKind, MessageOutcome
from workers.twin.caller import (
    DropSocket,
    HangUp,
    Say,
    StaySilent,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitSeconds,
)
from workers.twin.live_api import script
from workers.twin.live_api.script import LiveScript
from workers.twin.twilio_api.callee import CalleeBehaviour


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


@pytest.mark.parametrize("reason", sorted(NO_AGENT_LEFT))
async def test_session_that_gives_up_leaves_the_caller_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: EndReason
) -> None:
    """One stream, one ring; a person who does not answer is followed by the apology."""

    async def give_up(_session: LiveSession) -> SessionEnd:
        return SessionEnd(reason, "no connection", transfer_to=COLLEAGUE)

    monkeypatch.setattr(LiveSession, "run", give_up)
    dialled: list[str] = []

    def busy(to: str) -> CalleeBehaviour:
        dialled.append(to)
        return CalleeBehaviour(outcome="busy")

    async with evercall(tmp_path) as rig:
        rig.twilio.on_dial = busy
        result, record = await rig.call(StaySilent())
        (event,) = await rig.events(record.call_sid, "transfer")
    assert dialled == [COLLEAGUE]
    assert event.payload["status"] == "busy"
    assert f">{APOLOGY}</Say>" in said(result)
    assert [stream.end_reason for stream in record.streams] == [reason]
    assert result.status == "completed"


async def test_lost_live_connection_is_not_followed_by_another_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session has looked for one until its budget was used up; the caller hears the apology."""

    async def give_up(_session: LiveSession) -> SessionEnd:
        return SessionEnd(EndReason.LIVE_LOST, "no connection")

    monkeypatch.setattr(LiveSession, "run", give_up)
    async with evercall(tmp_path) as rig:
        result, record = await rig.call(StaySilent())
    assert f">{APOLOGY}</Say>" in said(result)
    assert [stream.end_reason for stream in record.streams] == [EndReason.LIVE_LOST]


async def test_moves_of_every_stream_are_on_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that goes on in another stream keeps the reset reports of the one before."""

    async def move_and_lose_the_line(session: LiveSession) -> SessionEnd:
        kind = MoveKind.RESUME
        session.moves.append(MoveRecord(MoveCause.AGE, MoveMoment.SAFE_POINT, kind, 0, 0, 0))
        return SessionEnd(EndReason.STREAM_LOST)

    monkeypatch.setattr(LiveSession, "run", move_and_lose_the_line)
    async with evercall(tmp_path) as rig:
        _, record = await rig.call(StaySilent())
    assert [len(record.streams), len(record.moves)] == [4, 4]


async def test_note_that_waits_when_the_socket_drops_is_told_by_the_next_stream(
    tmp_path: Path,
) -> None:
    """Whoever left it hears so, and the record has it: not that the call was over."""
    # Told at a move only, for which there is no quiet moment in so long an answer.
    agent = bakery(model="gemini-3.1-flash-live-preview")
    model = LiveScript(opening=(script.Say(GREETING),), otherwise=(script.Say("so " * 100),))
    async with evercall(tmp_path, model, agent=agent) as rig:
        call = await rig.ring(
            WaitAgentDone(300),
            Say(QUESTION),
            WaitAgentSpoke(4_000),
            DropSocket(),
            WaitSeconds(2),
            HangUp(),
        )
        live = rig.worker.runner.live
        await until(
            lambda: call.sid in live and len(agent_turns(live[call.sid].record())) > 1, timeout_s=30
        )
        number = await rig.worker.store.leave_message(call.sid, MessageKind.CONTEXT, "No rye today")
        await call.wait(40)
        record = await rig.record(call.sid)
        assert "No rye today" not in held(rig.live.sessions[0])
        assert "No rye today" in held(rig.live.sessions[1])
        state = await rig.worker.store.message_state(number)
    assert len(record.streams) == 2
    assert state is not None
    assert state.outcome is MessageOutcome.TOLD
    (update,) = record.context.updates
    assert (update.how, update.done_s is not None) == ("next_move", True)


async def test_call_that_comes_back_while_it_is_cleared_away_is_still_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of the stream that was taken from us does not take the next one's place."""
    closed = Recording.close
    hangs: list[Recording] = []

    async def hang(recording: Recording) -> None:
        hangs.append(recording)
        if len(hangs) == 1:
            await asyncio.sleep(2)
        await closed(recording)

    monkeypatch.setattr(Recording, "close", hang)
    agent = bakery(recording=RecordingSpec(enabled=True))
    async with evercall(tmp_path, agent=agent) as rig:
        call = await rig.ring(WaitAgentDone(300), WaitSeconds(6), HangUp())
        worker = rig.worker
        await until(lambda: call.sid in worker.active.serving)
        fence = worker.active.serving[call.sid]
        assert await worker.store.take_from(call.sid, fence=fence) is not None
        first = worker.runner.live[call.sid]
        worker.active.taken(call.sid)
        twilio = rig.twilio
        settings = TwilioSettings(
            twilio.account_sid, twilio.auth_token, rig.base_url, base_url=twilio.base_url
        )
        async with TwilioRest(settings) as rest:
            await rest.redirect(call.sid, twiml.continue_call(settings, stream=1))
        await until(lambda: worker.runner.live.get(call.sid) not in (first, None))
        await asyncio.sleep(3)
        assert call.sid in worker.runner.live
        await call.wait(40)
        crashed = worker.metrics.registry.get_sample_value("evercall_calls_crashed_total")
        assert not crashed
