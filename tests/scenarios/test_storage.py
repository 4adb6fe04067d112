"""Storage may be away, slow or full and the call goes on; a recording is what was heard."""

from __future__ import annotations

import sqlite3
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.conversation.record import EndReason
from agent.spec import Recording
from tests.scenarios.rig import (
    ANSWER,
    GREETING,
    QUESTION,
    agent_turns,
    bakery,
    evercall,
    played_ms,
    said,
    spoken_ms,
    until,
)
from workers.call.recording import Recorder
from workers.entrypoints import worker
from workers.store.calls import StoreUnavailable
from workers.twin import phone_audio
from workers.twin.caller import (
    HangUp,
    Say,
    Step,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.script import LiveScript, Turn
from workers.twin.twilio_api.result import CallResult

Samples = NDArray[np.float64]
TALK: tuple[Step, ...] = (WaitAgentDone(300), Say(QUESTION), WaitAgentDone(300), HangUp())
HEARD = [GREETING, ANSWER]


async def test_database_that_is_locked_holds_nobody_up(tmp_path: Path) -> None:
    """Another writer keeps the file for the whole call; afterwards the record is there."""
    async with evercall(tmp_path) as rig:
        assert await rig.worker.store.flush()
        other = sqlite3.connect(tmp_path / "evercall.sqlite3", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        result = await rig.phone(*TALK)
        assert result.duration_s < 10
        assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
        other.execute("COMMIT")
        other.close()
        record = await rig.record(result.sid)
        assert rig.worker.store.lost == 0
    assert [turn.heard for turn in agent_turns(record)] == HEARD


async def test_database_that_cannot_be_written_costs_the_record_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a folder where the file should be: the call goes on, what is lost is counted."""
    monkeypatch.setattr(worker, "CLOSE_TIMEOUT_S", 0.5)
    (tmp_path / "folder").mkdir()
    async with evercall(tmp_path, database_url=f"sqlite:///{tmp_path / 'folder'}") as rig:
        result = await rig.phone(*TALK)
        with pytest.raises(StoreUnavailable):
            await rig.worker.store.load_call(result.sid)
        await rig.until_logged("store.unavailable")
        await rig.until_counted("evercall_call_seconds_count", 1)
        assert rig.metric("evercall_streams_ended_total", reason="caller_hung_up") == 1
    assert result.script_finished
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
    assert rig.worker.store.lost > 0


async def test_full_disk_costs_the_recording_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write is answered with ENOSPC, by a device that does just that."""
    monkeypatch.setattr(Recorder, "path", lambda _self, _call_sid: Path("/dev/full"))
    async with evercall(tmp_path, agent=bakery(recording=Recording(enabled=True))) as rig:
        result, record = await rig.call(*TALK)
        logged = await rig.until_logged("recording.not_written")
    assert logged["error"] == "No space left on device"
    assert [turn.heard for turn in agent_turns(record)] == HEARD
    assert abs(played_ms(result, 0) - spoken_ms(GREETING) - spoken_ms(ANSWER)) <= 80
    assert record.counters["recording_lost_pieces"] > 100


async def test_recording_holds_what_both_sides_heard(tmp_path: Path) -> None:
    """Caller left, agent right, at the moments of the phone; what was interrupted is not in it."""
    long = "We have rye bread, white bread, rolls, cakes and a lot of other things for you."
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn(QUESTION, (script.Say(long),)), Turn("Stop.", (script.Say(ANSWER),))),
        answer_delay_s=0.1,
    )
    spec = bakery(recording=Recording(enabled=True, announcement="Recorded."))
    async with evercall(tmp_path, model, agent=spec) as rig:
        result, record = await rig.call(
            # The announcement belongs to Twilio and is over before the stream begins.
            WaitStream(),
            Say(bytes(320)),
            WaitAgentDone(300),
            Say(QUESTION),
            WaitAgentSpoke(1_000),
            Say("No, thank you very much."),
            WaitAgentDone(300),
            HangUp(),
        )
        assert rig.worker.recorder is not None
        path = rig.worker.recorder.path(result.sid)
        caller, agent = _channels(path)
    assert ">Recorded.</Say>" in said(result)
    assert path.stat().st_mode & 0o077 == 0
    assert agent_turns(record)[1].interrupted
    assert max(map(abs, _places(agent, result))) < 100
    # The caller's side has no pauses: one place for all of it, however it is cut.
    started_s = result.named("stream-started")[0].at_s
    spoken = _pcm(result.spoken)[int(started_s * 8_000) :]
    likeness = np.correlate(caller, spoken[800:-4_000], "valid")
    at = int(np.argmax(likeness))
    assert abs(at / 8 - 100) < 100
    found = caller[at : at + len(spoken) - 4_800]
    assert np.linalg.norm(found - spoken[800:-4_000]) < 0.05 * np.linalg.norm(spoken)
    assert "recording_lost_pieces" not in record.counters


async def test_recording_goes_on_in_the_next_stream(tmp_path: Path) -> None:
    """A call has one file, whatever becomes of its sockets."""
    spec = bakery(recording=Recording(enabled=True))
    async with evercall(tmp_path, agent=spec) as rig:
        call = await rig.ring(
            WaitAgentDone(300), WaitSeconds(2), Say(QUESTION), WaitAgentDone(300), HangUp()
        )
        await until(lambda: call.sid in rig.worker.runner.live)
        live = rig.worker.runner.live[call.sid]
        await until(lambda: live.transcript.snapshot() and live.transcript.snapshot()[0].heard)
        await until(lambda: live.transport.playout.pending_ms() <= 0)
        assert call.line.stream is not None
        call.line.stream.drop()
        result = await call.wait(30)
        record = await rig.record(call.sid)
        assert rig.worker.recorder is not None
        _, agent = _channels(rig.worker.recorder.path(result.sid))
    assert [stream.end_reason for stream in record.streams] == [
        EndReason.STREAM_LOST,
        EndReason.CALLER_HUNG_UP,
    ]
    assert max(map(abs, _places(agent, result))) < 100


def _channels(path: Path) -> tuple[Samples, Samples]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8_000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    return both[0::2], both[1::2]


def _pcm(ulaw: bytes) -> Samples:
    return np.frombuffer(phone_audio.to_pcm(ulaw), "<i2").astype(float)


def _places(recorded: Samples, result: CallResult) -> list[float]:
    """Where in the recording each stretch that the phone played is found, less where it should be.

    In milliseconds. Everything else in the recording must be silence.
    """
    left = recorded.copy()
    start = int(result.named("stream-started")[0].at_s * 8_000)
    real = _pcm(result.heard)
    lags = []
    for since_ms, until_ms in result.played_ms:
        since, until = round(since_ms * 8), round(until_ms * 8)
        if since < start or until - since < 800:
            continue
        # A barge-in is recorded where the worker took it to be, to some milliseconds.
        sound = real[since : until - 400]
        offset = max(0, since - start - 4_000)
        likeness = np.correlate(recorded[offset : until - start + 4_000], sound, "valid")
        at = offset + int(np.argmax(likeness))
        found = recorded[at : at + len(sound)]
        assert np.linalg.norm(found - sound) < 0.05 * np.linalg.norm(sound)
        left[at : at + until - since + 400] = 0
        lags.append((at - (since - start)) / 8)
    assert np.linalg.norm(left) < 0.1 * np.linalg.norm(recorded)
    return lags
