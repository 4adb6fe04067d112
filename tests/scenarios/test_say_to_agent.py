"""What an operator says on the command line reaches the model of a live call, once and unheard."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent.conversation.record import MoveCause, MoveKind, MoveMoment
from agent.live import leaving
from tests.scenarios.rig import ANSWER, GREETING, Rig, agent_turns, bakery, evercall, until
from workers.entrypoints.say_to_agent import Failed, say_to_agent
from workers.store.messages import MessageKind
from workers.store.sql import SqlCallStore
from workers.twin import caller
from workers.twin.caller import (
    DropSocket,
    HangUp,
    StaySilent,
    WaitAgentDone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api.script import LiveScript, Recall, Say, Steps, TextRule, Turn
from workers.twin.twilio_api.call import TwinCall

NOTE = "The rye bread is sold out until four o'clock."
QUESTION, AGAIN, BACK = "Any rye bread?", "No rye at all?", "I am back."
KNOWS, KNOWS_NOT = "It is sold out.", "I think so."
RECALL: Steps = (Recall("sold out until four", KNOWS, KNOWS_NOT),)
MODEL = LiveScript(
    opening=(Say(GREETING),),
    turns=(Turn(QUESTION, RECALL), Turn(AGAIN, RECALL)),
    texts=(TextRule("line was cut", (Say(BACK),)),),
    otherwise=(Say(ANSWER),),
    answer_delay_s=0.1,
)
TOLD = "The agent has been told."
COMMAND = "from workers.entrypoints.cli import main; main()"


async def call_under_way(rig: Rig, *steps: caller.Step) -> TwinCall:
    """Ring, and wait until the agent speaks with the caller."""
    call = await rig.ring(*steps)
    await until(lambda: call.sid in rig.worker.runner.live and rig.live.open_sessions)
    return call


async def tell(rig: Rig, call: TwinCall, text: str, kind: MessageKind) -> list[str]:
    """Say something as the command does, from a store of its own; what the operator reads."""
    told: list[str] = []
    store = SqlCallStore(f"sqlite:///{rig.data_dir / 'evercall.sqlite3'}")
    try:
        assert await store.flush()
        await say_to_agent(store, call.sid, kind, text, tell=told.append)
    finally:
        await store.close()
    return told


async def run_command(rig: Rig, *arguments: str) -> tuple[int, list[str]]:
    """Run ``evercall``; its exit code, and the lines that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        cwd=rig.data_dir,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "EVERCALL_DATA_DIR": str(rig.data_dir),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode().splitlines()


async def test_model_that_takes_it_is_told_at_once_and_after_a_lost_stream(tmp_path: Path) -> None:
    """3.8 answers by it the next question, and so does the session of the caller's next stream."""
    async with evercall(tmp_path, MODEL) as rig:
        call = await call_under_way(
            rig,
            WaitAgentDone(300),
            WaitSeconds(3.5),
            caller.Say(QUESTION),
            WaitAgentDone(300),
            DropSocket(),
            WaitStream(),
            WaitSeconds(0.5),
            caller.Say(AGAIN),
            WaitAgentDone(300),
            HangUp(),
        )
        told = await tell(rig, call, NOTE, MessageKind.CONTEXT)
        record = await rig.record((await call.wait()).sid)
        first, second = rig.live.sessions
        assert NOTE not in rig.log_text
    # It may say before that it waits: the session tells the model in a task of its own.
    assert told[-1] == TOLD
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, KNOWS, KNOWS]
    (instruction,) = first.context_updates
    assert NOTE in instruction
    assert NOTE in second.system_instruction
    assert second.context_updates == []
    assert [move.cause for move in record.moves] == [MoveCause.TAKEOVER]
    (update,) = record.context.updates
    assert (update.kind, update.how) == ("context", "context_update")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("gemini-3.1-flash-live-preview", id="3.1"),
        pytest.param("gemini-2.5-flash-native-audio-preview-12-2025", id="2.5"),
    ],
)
async def test_other_models_are_told_by_a_move_at_the_next_safe_point(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator reads that it waits for that, then that it is done; the caller hears nothing."""
    # A connection is not left for a note before it is 20 s old.
    monkeypatch.setattr(leaving, "SETTLED_S", 2.5)
    async with evercall(tmp_path, MODEL, agent=bakery(model=name)) as rig:
        call = await call_under_way(
            rig,
            WaitAgentDone(300),
            WaitSeconds(3.5),
            caller.Say(QUESTION),
            WaitAgentDone(300),
            HangUp(),
        )
        waits, told = await tell(rig, call, NOTE, MessageKind.CONTEXT)
        assert rig.metric("evercall_moves_total", **LABELS) == 1
        record = await rig.record((await call.wait()).sid)
        first, second = rig.live.sessions
    assert "only when the session moves to its next connection" in waits
    assert told == TOLD
    assert [turn.heard for turn in agent_turns(record)] == [GREETING, KNOWS]
    (move,) = record.moves
    assert (move.cause, move.kind, move.moment) == (
        MoveCause.UPDATE,
        MoveKind.RESUME,
        MoveMoment.SAFE_POINT,
    )
    assert (move.gap_ms, move.lost_ms) == (0.0, 0.0)
    assert first.ready_at is not None
    assert first.closed_at is not None
    assert first.closed_at - first.ready_at > 2.4
    assert NOTE in second.system_instruction
    (update,) = record.context.updates
    assert (update.kind, update.how) == ("context", "next_move")
    assert update.done_s is not None


LABELS = {"cause": "update", "kind": "resume", "moment": "safe_point"}


async def test_instruction_is_replaced_what_is_too_long_refused_and_nobody_told_afterwards(
    tmp_path: Path,
) -> None:
    """What becomes of each message is said in a sentence, and nothing of it is lost on the way."""
    async with evercall(tmp_path, MODEL) as rig:
        call = await call_under_way(rig, WaitAgentDone(300), StaySilent())
        code, printed = await run_command(
            rig, "call", "say-to-agent", call.sid, "You sell cakes only.", "--instruction"
        )
        assert (code, printed[-1]) == (0, "The agent has its new instruction.")
        with pytest.raises(Failed, match="was not told: the text has 3,000 characters") as caught:
            await tell(rig, call, "x" * 3_000, MessageKind.CONTEXT)
        assert caught.value.code == 2
        call.hang_up()
        record = await rig.record((await call.wait()).sid)
        with pytest.raises(Failed, match="is over"):
            await tell(rig, call, NOTE, MessageKind.CONTEXT)
        (session,) = rig.live.sessions
    assert session.system_instruction.startswith("You sell cakes only.")
    assert "You are a baker." not in session.system_instruction
    assert "You are a baker." in str(session.setup)
    assert [update.kind for update in record.context.updates] == ["instruction"]
    assert record.moves == []
