"""What a move leaves behind: its report in the store, in the log, on the page and in /metrics."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import httpx
import pytest

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment, MoveRecord
from tests.scenarios.rig import (
    ANSWER,
    CALLER,
    GREETING,
    QUESTION,
    agent_turns,
    evercall,
    lost_ms,
    until,
)
from workers.dashboard.call_page.page import render_page
from workers.dashboard.moves import move_words
from workers.dashboard.story import at
from workers.twin.caller import HangUp, Say, StaySilent, WaitAgentDone, WaitAgentStarts
from workers.twin.live_api import script
from workers.twin.live_api.faults import Close, DelaySetup, Fault, HangBeforeSetup, RefuseUpgrade
from workers.twin.live_api.script import LiveScript, TextRule, Turn

LONG = "We have rye bread, white bread, rolls, cakes and a lot of other things for you."
REST = "And much more."
MODEL = LiveScript(
    opening=(script.Say(GREETING),),
    turns=(Turn(QUESTION, (script.Say(LONG),)),),
    texts=(TextRule("were cut off", (script.Say(REST),)),),
    otherwise=(script.Say(ANSWER),),
    answer_delay_s=0.1,
)
# A server that is careless about what it writes into its close frame.
LOSS = Close(
    sessions=frozenset({1}),
    answer=2,
    audio_ms=2_000,
    code=1011,
    reason=f"Internal error, session of {CALLER}.",
)
LATER = frozenset(range(2, 100))


async def test_move_is_reported_in_record_log_and_page_alike(tmp_path: Path) -> None:
    """The same numbers everywhere; the log has every key, and neither numbers nor words of anybody.

    The phone number that the server wrote into its close frame is on the record only.
    """
    async with evercall(tmp_path, MODEL, faults=[LOSS]) as rig:
        _, record = await rig.call(
            WaitAgentDone(300), Say(QUESTION), WaitAgentDone(1_500), HangUp()
        )
        logged = await rig.until_logged("live.moved")
        # As anybody finds it who opens the call later.
        stored = await rig.worker.store.load_call(record.call_sid)
    assert stored is not None
    assert stored.record is not None
    (move,) = stored.record.moves
    assert (move.cause, move.moment, move.kind, move.tries) == (
        MoveCause.LOST,
        MoveMoment.ABRUPT,
        MoveKind.RESUME,
        1,
    )
    assert 0 < move.wanted_s <= move.left_s < move.done_s
    assert 0 < move.held_ms < 1_000
    assert move.replayed_ms > 0
    assert move.model == "gemini-3.8-live"
    assert f"code 1011: Internal error, session of {CALLER}." in move.detail
    # In the log.
    names = {field.name for field in dataclasses.fields(MoveRecord)}
    assert names <= logged.keys()
    assert logged["call_sid"] == record.call_sid
    assert logged["level"] == "info"
    for name in names - {"detail"}:
        value = getattr(move, name)
        assert logged[name] == (round(value, 2) if isinstance(value, float) else value), name
    assert "code 1011: Internal error, session of [phone number removed]." in logged["detail"]
    for text in (GREETING, QUESTION, ANSWER, LONG[:20], REST):
        assert text not in rig.log_text
    # On the page: the place in the conversation, and all numbers.
    page = render_page(stored.record)
    assert "Moves between Live connections" in page
    assert page.count('<tr class="') >= 1
    assert move_words(move) in page
    assert at(move.left_s) in page
    assert "code 1011: Internal error" in page


async def test_move_is_in_the_metrics_while_the_call_goes_on(tmp_path: Path) -> None:
    """Scraped over HTTP: count by cause, kind and moment, gap, held and lost audio, tries."""
    labels = {"cause": "lost", "kind": "resume", "moment": "abrupt"}
    async with evercall(tmp_path, MODEL, faults=[LOSS]) as rig, httpx.AsyncClient() as http:
        call = await rig.ring(WaitAgentDone(300), Say(QUESTION), WaitAgentDone(1_500), StaySilent())
        await rig.until_counted("evercall_moves_total", 1, **labels)
        during = (await http.get(f"{rig.base_url}/metrics")).text
        assert call.sid in rig.worker.runner.live
        call.hang_up()
        result = await call.wait()
        record = await rig.record(result.sid)
        await rig.until_counted("evercall_call_seconds_count", 1)
        after = (await http.get(f"{rig.base_url}/metrics")).text
    (move,) = record.moves
    for text in (during, after):
        samples = _samples(text)
        name = 'evercall_moves_total{cause="lost",kind="resume",moment="abrupt"}'
        assert samples[name] == 1
        assert samples["evercall_move_gap_seconds_count"] == 1
        assert samples["evercall_move_gap_seconds_sum"] == pytest.approx(move.gap_ms / 1000)
        assert samples["evercall_move_held_seconds_sum"] == pytest.approx(move.held_ms / 1000)
        assert samples['evercall_move_lost_seconds_bucket{le="0.0"}'] == 1
        assert samples["evercall_move_tries_sum"] == 1
        assert [key for key in samples if key.startswith("evercall_moves_total")] == [name]
        # In names and labels; a time may hold any digits by chance.
        for private in (CALLER, result.sid, "1011"):
            assert not [key for key in samples if private in key]


async def test_call_without_a_move_counts_none(tmp_path: Path) -> None:
    """The way to the first connection is not a move, however long it took."""
    faults = [RefuseUpgrade(sessions=frozenset({1}))]
    async with evercall(tmp_path, MODEL, faults=faults) as rig, httpx.AsyncClient() as http:
        _, record = await rig.call(WaitAgentDone(300), HangUp())
        samples = _samples((await http.get(f"{rig.base_url}/metrics")).text)
        assert not rig.logged("live.moved")
    assert record.moves == []
    assert "Moves between" not in render_page(record)
    assert samples["evercall_move_gap_seconds_count"] == 0
    assert not [key for key in samples if key.startswith("evercall_moves_total")]


@pytest.mark.parametrize(
    "fault",
    [
        HangBeforeSetup(sessions=LATER),
        RefuseUpgrade(sessions=LATER),
        # Up just after the caller has gone.
        DelaySetup(sessions=LATER, seconds=0.6),
    ],
    ids=["dialling", "between_tries", "nearly_there"],
)
async def test_hang_up_in_the_middle_of_a_move_leaves_a_report_and_nothing_open(
    tmp_path: Path, fault: Fault
) -> None:
    """The caller is gone, the report says that no connection was found, and all is let go of."""
    tasks = asyncio.all_tasks()
    async with evercall(tmp_path, MODEL, faults=[LOSS, fault]) as rig:
        call = await rig.ring(WaitAgentDone(300), Say(QUESTION), WaitAgentStarts(), StaySilent())
        await until(lambda: rig.logged("live.lost"))
        await asyncio.sleep(0.4)
        call.hang_up()
        hung_up_s = time.monotonic()
        result = await call.wait()
        record = await rig.record(call.sid)
        took_s = time.monotonic() - hung_up_s
        logged = await rig.until_logged("live.moved")
        await until(lambda: not rig.live.open_sessions)
        assert not [task for task in asyncio.all_tasks() - tasks if "/agent/live/" in repr(task)]
        dials = len(rig.live.sessions) + len(rig.live.refusals)
        # Nobody dials for a caller who has gone.
        await asyncio.sleep(1.0)
        assert len(rig.live.sessions) + len(rig.live.refusals) == dials
        moved = {"cause": "lost", "kind": "none", "moment": "abrupt"}
        assert rig.metric("evercall_moves_total", **moved) == 1
    assert took_s < 2.0
    assert result.status == "completed"
    assert result.open_sockets == 0
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    assert len(record.streams) == 1
    (move,) = record.moves
    assert (move.cause, move.kind) == (MoveCause.LOST, None)
    # What was queued when the connection was lost still played: nobody has missed anything yet.
    assert move.gap_ms < 50
    assert 0.3 < move.done_s - move.left_s < 1.0
    assert 200 < move.held_ms < 1_000
    # What the caller said into the gap is lost with them, and not silently.
    assert move.lost_ms == move.held_ms
    assert lost_ms(record) == round(move.lost_ms)
    assert logged["level"] == "warning"
    assert logged["kind"] is None
    assert agent_turns(record)[0].heard == GREETING
    assert "no connection" in render_page(record)
    assert "Traceback" not in rig.log_text


def _samples(text: str) -> dict[str, float]:
    """Read the exposition format: one sample a line."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
