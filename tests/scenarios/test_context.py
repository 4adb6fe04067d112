"""What the model still knows: after refills, planned or not, after cuts, over lost streams.

All calls are held before the first test looks at its own; ``context_calls`` says what they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from agent.conversation.record import MoveCause, MoveKind, MoveMoment
from agent.live import leaving
from tests.scenarios.context_calls import (
    CUT,
    NAME,
    NOTE,
    NUMBER,
    PLACE,
    REFILLED,
    REFUSES_UPDATES,
    SETTLED_S,
    SPREAD_MS,
    TEXT_MODEL,
    Held,
    hold_all,
    settings,
)
from workers.dashboard.call_page.page import render_page
from workers.dashboard.memory import cut_words
from workers.twin.live_api import profiles


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Held]:
    """Hold all calls."""
    strict = replace(
        profiles.profile_named("3.8"),
        name="3.8-strict",
        models=frozenset({REFUSES_UPDATES}),
        context_update=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        # A connection is not left for a better instruction before it is 20 s old.
        patch.setattr(leaving, "SETTLED_S", SETTLED_S)
        patch.setattr(profiles, "PROFILES", (*profiles.PROFILES, strict))
        return uvloop.run(hold_all(settings(), tmp_path_factory.mktemp("calls")))


# -- refills ---------------------------------------------------------------------------------------


def test_nearly_full_context_is_left_unheard(calls: Mapping[str, Held]) -> None:
    """A fresh session is ready before the old one is left, and knows what was said."""
    call = calls["full"]
    assert call.way == (MoveCause.CONTEXT, MoveKind.STANDBY, MoveMoment.SAFE_POINT)
    assert "of 131,072" in call.move.detail
    assert call.record.context.most_tokens > 0.9 * 131_072
    assert_was_on_stand_by(call)
    call.assert_move_is_not_heard(usual=slice(3), after=slice(3, None))
    assert call.knew() == [True]
    labels = {"cause": "context", "kind": "standby", "moment": "safe_point"}
    assert call.rig.metric("evercall_moves_total", **labels) == 1


def test_session_that_has_become_slow_is_left_unheard(calls: Mapping[str, Held]) -> None:
    """Answers came later and later; those of the fresh session come as the first ones did."""
    call = calls["slow"]
    assert call.way == (MoveCause.LATENCY, MoveKind.STANDBY, MoveMoment.SAFE_POINT)
    assert_was_on_stand_by(call)
    assert call.delays()[5] > max(call.delays()[:3]) + SPREAD_MS
    call.assert_move_is_not_heard(usual=slice(3), after=slice(6, None))
    assert call.knew() == [True]


def assert_was_on_stand_by(call: Held) -> None:
    """The next connection was up before we closed the first."""
    first, *_, last = call.sessions
    assert last.ready_at is not None
    assert first.closed_at is not None
    assert last.ready_at < first.closed_at
    assert first.closed_by == "client"


@pytest.mark.parametrize("way", REFILLED)
def test_refill_after_a_lost_handle_gives_the_memory_back(
    way: str, calls: Mapping[str, Held]
) -> None:
    """By whatever way the model takes it; it goes on with its answer and does not greet again."""
    call = calls[way]
    assert call.way == (MoveCause.LOST, MoveKind.REFILL, MoveMoment.ABRUPT)
    # What it may last is measured by tests/benchmarks/move_gap.py.
    assert call.move.gap_ms < 1_000
    _, second = call.sessions
    messages = json.dumps([message for message in second.messages if "clientContent" in message])
    for fact in (NAME, NUMBER):
        assert (fact in second.system_instruction) is (way == "system_instruction")
        assert (fact in messages) is (way != "system_instruction")
    assert ("historyConfig" in second.setup) is (way == "initial_history")
    assert call.knew() == [True]
    call.assert_nothing_is_missed()


# -- compression -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", CUT)
def test_facts_told_before_a_cut_are_known_after_it(way: str, calls: Mapping[str, Held]) -> None:
    """The model is told the summary in time, whatever way it takes; the caller hears no move."""
    call = calls[way]
    (cut,) = cuts(call)
    assert NUMBER in str(cut.lines)
    assert call.knew() == [True]
    updates = [text for log in call.sessions for text in log.context_updates]
    assert bool(updates) is (way == "context_update")
    if way == "next_move":
        assert call.way == (MoveCause.CONTEXT, MoveKind.RESUME, MoveMoment.SAFE_POINT)
        call.assert_move_is_not_heard(usual=slice(3), after=slice(3, None))
    else:
        assert call.record.moves == []
        call.assert_nothing_is_missed()
    for log in call.sessions:
        asked = log.setup["contextWindowCompression"]
        assert asked == {"triggerTokens": 2_000, "slidingWindow": {"targetTokens": 1_400}}


@pytest.mark.parametrize("way", CUT)
def test_cut_is_noticed_and_shown(way: str, calls: Mapping[str, Held]) -> None:
    """In the record, as large as it was; on the page, and in the metrics."""
    call = calls[way]
    (cut,) = cuts(call)
    (noticed,) = call.record.context.cuts
    assert noticed.before_tokens == pytest.approx(cut.before, rel=0.1)
    assert noticed.after_tokens == pytest.approx(cut.after, rel=0.1)
    assert cut_words(noticed) in render_page(call.record)
    assert call.rig.metric("evercall_context_cuts_total") == 1


def cuts(call: Held) -> list[Any]:
    """What the server has really cut."""
    return [cut for log in call.sessions for cut in log.cuts]


def test_remembered_fact_outlives_cut_and_stream(calls: Mapping[str, Held]) -> None:
    """It is in the record and in every instruction that came after it."""
    call = calls["remembers"]
    assert [(fact.key, fact.value) for fact in call.record.facts] == [("key", PLACE)]
    assert len(cuts(call)) == 1
    assert len(call.record.streams) == 2
    assert call.knew() == [True, True]
    first, second = call.sessions
    instructions = [*first.context_updates, second.system_instruction]
    assert len(instructions) > 1
    assert all(f"key: “{PLACE}”" in text for text in instructions)
    assert first.setup["systemInstruction"] != second.setup["systemInstruction"]


# -- what functions add ----------------------------------------------------------------------------


def test_function_of_the_agents_adds_to_what_the_model_knows(calls: Mapping[str, Held]) -> None:
    """It asks for the session that called it; the model is told once its answer is given."""
    call = calls["noted"]
    (session,) = call.sessions
    (told,) = session.context_updates
    assert f"The caller is {NOTE}." in told
    assert call.knew() == [True]
    (update,) = call.record.context.updates
    assert (update.kind, update.how) == ("context", "context_update")
    assert update.done_s is not None
    labels = {"kind": "context", "how": "context_update"}
    assert call.rig.metric("evercall_context_updates_total", **labels) == 1
    call.assert_nothing_is_missed()


def test_update_that_the_server_refuses_arrives_by_the_move(calls: Mapping[str, Held]) -> None:
    """The connection is closed for it, the call goes on, and no other is sent in its course."""
    call = calls["refused"]
    sent = [log.number for log in call.sessions for one in log.messages if "contextUpdate" in one]
    assert sent == [1]
    assert call.sessions[0].close_code == 1007
    assert call.knew() == [True, True]
    lost, told = call.record.moves
    assert (lost.cause, told.cause) == (MoveCause.LOST, MoveCause.UPDATE)
    assert told.moment is MoveMoment.SAFE_POINT
    assert (told.gap_ms, told.lost_ms) == (0.0, 0.0)
    assert all(update.done_s for update in call.record.context.updates)
    assert [update.how for update in call.record.context.updates] == ["next_move"] * 2
    call.assert_nothing_is_missed()


# -- the summary -----------------------------------------------------------------------------------


def test_call_does_not_notice_a_text_model_that_hangs_and_errs(calls: Mapping[str, Held]) -> None:
    """No answer comes later for it; the record says what became of each request."""
    call = calls["summarised"]
    waited = call.delays()
    assert max(waited) <= min(waited) + SPREAD_MS
    call.assert_nothing_is_missed()
    assert call.knew() == [True]
    asked = [one for one in call.record.context.summaries if one.by == TEXT_MODEL]
    assert [one.outcome for one in asked[:3]] == ["timeout", "failed", "ok"]
    assert call.record.summary is not None
    assert NAME in call.record.summary.caller
    assert call.record.usage.summary_tokens > 0
    assert call.rig.text is not None
    assert call.rig.text.most_at_once == 1
    for outcome in ("timeout", "failed"):
        assert call.rig.metric("evercall_summaries_total", outcome=outcome, by="model") == 1
    assert call.rig.metric("evercall_summaries_total", outcome="ok", by="model") >= 1
