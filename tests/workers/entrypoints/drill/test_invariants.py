"""What holds in every call: each rule is kept by a good call, and broken by one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.conversation.record import EndReason
from tests.workers.entrypoints.drill.samples import (
    FIRST_ANSWER,
    GREETING,
    LAST,
    SECOND_ANSWER,
    check_named,
    failed,
    frames,
    heard,
    move,
    observed,
    recipe,
    with_connection,
    with_record,
)
from workers.entrypoints.drill.invariants import open_at_once
from workers.entrypoints.drill.observed import Connected, Execution, Observed


def test_a_good_call_breaks_no_rule(tmp_path: Path) -> None:
    """Nothing is found where nothing is wrong."""
    assert failed(recipe(tmp_path), observed()) == []


def test_replay_may_begin_before_what_was_heard_last(tmp_path: Path) -> None:
    """Audio that is sent again is no loss."""
    again = with_connection(2, caller_codes=tuple(range(250, LAST - 2)))
    assert failed(recipe(tmp_path), again) == []


LOST = "caller audio lost"
ORDER = "caller audio out of order"
TORN = "caller's sentences that no session heard whole"


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        # 301 reached nobody.
        (with_connection(2, caller_codes=tuple(range(302, LAST - 2))), [LOST]),
        # The same inside one connection is also a jump.
        (
            with_connection(2, caller_codes=(*range(301, 450), *range(451, LAST - 2))),
            [ORDER, LOST],
        ),
        # What was held comes after what is newer.
        (
            with_connection(2, caller_codes=(*range(340, LAST - 2), *range(301, 340))),
            [ORDER],
        ),
        (with_connection(2, caller_codes=(301, *range(301, LAST - 2))), [ORDER]),
        # Before the first connection was up, and at the end.
        (with_connection(1, caller_codes=tuple(range(20, 301))), [LOST]),
        (with_connection(2, caller_codes=tuple(range(301, LAST - 60))), [LOST]),
        (with_record(counters={"caller_audio_lost_ms": 20}), ["caller audio lost, as reported"]),
        (with_record(moves=[move(lost_ms=20)]), ["caller audio lost, as reported"]),
    ],
    ids=["between", "within", "late", "twice", "first", "last", "counted", "reported"],
)
def test_caller_audio_reaches_a_model_once_and_in_order(
    tmp_path: Path, seen: Observed, names: list[str]
) -> None:
    """Every frame the phone sent, from the first to the last."""
    assert failed(recipe(tmp_path), seen) == names


def test_sentence_cut_by_a_move_must_be_heard_whole_by_one_session(tmp_path: Path) -> None:
    """Each half on another connection is no sentence, though no frame is missing."""
    seen = with_connection(1, caller_codes=tuple(range(5, 370)))
    seen = replace(
        seen,
        connections=(
            seen.connections[0],
            replace(seen.connections[1], caller_codes=tuple(range(370, LAST - 2))),
        ),
    )
    assert failed(recipe(tmp_path), seen) == [TORN]
    whole = replace(seen.connections[1], caller_codes=tuple(range(350, LAST - 2)))
    assert failed(recipe(tmp_path), replace(seen, connections=(seen.connections[0], whole))) == []


def test_allowed_loss_is_a_bound(tmp_path: Path) -> None:
    """So many milliseconds may be missing, and no more."""
    seen = with_connection(2, caller_codes=tuple(range(306, LAST - 2)))
    assert failed(recipe(tmp_path, lost_ms=100), seen) == []
    assert failed(recipe(tmp_path, lost_ms=80), seen) == [LOST]


def test_call_that_did_not_end_by_the_caller_may_lose_what_came_after_its_end(
    tmp_path: Path,
) -> None:
    """Nobody listens once the session has ended."""
    seen = with_record(end_reason=EndReason.AGENT_HUNG_UP)
    last = replace(seen.connections[1], caller_codes=tuple(range(301, 450)))
    seen = replace(seen, connections=(seen.connections[0], last))
    assert failed(recipe(tmp_path, end_reason=EndReason.AGENT_HUNG_UP), seen) == []


def test_caller_whom_nobody_ever_heard(tmp_path: Path) -> None:
    """No connection at all is the greatest loss, not the smallest."""
    seen = observed(connections=())
    assert LOST in failed(recipe(tmp_path), seen)


def test_model_audio_is_heard_once(tmp_path: Path) -> None:
    """A frame of the model's that is heard again is found, wherever it is heard."""
    seen = observed(heard=heard(GREETING, FIRST_ANSWER, frames(1099, 1, 5500), SECOND_ANSWER))
    check = check_named("model audio heard twice", recipe(tmp_path), seen)
    assert (check.ok, check.observed) == (False, "1099")


def test_greeting_is_heard_once(tmp_path: Path) -> None:
    """Its first frame twice is a second greeting."""
    seen = observed(heard=heard(GREETING, FIRST_ANSWER, frames(100, 40, 6500), SECOND_ANSWER))
    assert failed(recipe(tmp_path), seen) == ["model audio heard twice", "greetings heard"]


def test_greeting_is_not_asked_for_again(tmp_path: Path) -> None:
    """Not of the same connection, and of no other once it was heard."""
    ask = "Say exactly: Good day."
    name = "greeting asked for again"
    assert failed(recipe(tmp_path), with_connection(1, texts=(ask, ask))) == [name]
    assert failed(recipe(tmp_path), with_connection(2, texts=(ask,))) == [name]


def test_greeting_that_was_never_heard_may_be_asked_for_elsewhere(tmp_path: Path) -> None:
    """A connection that dropped before it spoke does not leave the caller without a greeting."""
    ask = "Say exactly: Good day."
    seen = with_connection(2, texts=(ask,), opened_s=0.3)
    seen = replace(
        seen, connections=(replace(seen.connections[0], closed_s=0.3), seen.connections[1])
    )
    assert failed(recipe(tmp_path), seen) == []


RUN = Execution("run:a", "value-of-a", finished=True)
RUNS = "tools run more than once"
RESULTS = "tool results lost or told again"


@pytest.mark.parametrize(
    ("fields", "runs", "names"),
    [
        ({"tool_answers": ('{"found":"value-of-a"}',)}, (RUN,), []),
        ({"texts": ("It returned value-of-a",)}, (RUN,), []),
        ({"tool_answers": ("value-of-a",)}, (RUN, RUN), [RUNS]),
        ({}, (RUN,), [RESULTS]),
        ({"tool_answers": ("value-of-a",), "texts": ("value-of-a",)}, (RUN,), [RESULTS]),
        ({"tool_answers": ("value-of-a",), "stray_answers": ("x",)}, (RUN,), [RESULTS]),
        ({}, (replace(RUN, finished=False),), []),
        ({"texts": ("value-of-a",)}, (replace(RUN, finished=False),), [RESULTS]),
    ],
    ids=["answered", "told", "ran twice", "lost", "twice", "stray", "cancelled", "made up"],
)
def test_tools_run_once_and_their_results_come_once(
    tmp_path: Path, fields: dict[str, Any], runs: tuple[Execution, ...], names: list[str]
) -> None:
    """By the tool's own word, and by what the connections got."""
    seen = replace(with_connection(2, **fields), executions=runs)
    assert failed(recipe(tmp_path), seen) == names


def test_history_on_a_later_connection_may_hold_a_result_again(tmp_path: Path) -> None:
    """A fresh session is told everything."""
    seen = with_connection(1, tool_answers=("value-of-a",))
    told = replace(seen.connections[1], instruction="Its result: value-of-a")
    seen = replace(seen, connections=(seen.connections[0], told), executions=(RUN,))
    assert failed(recipe(tmp_path), seen) == []


def test_one_connection_at_a_time(tmp_path: Path) -> None:
    """A second one before the first is closed counts, unless a stand-by is expected."""
    seen = with_connection(1, closed_s=6.5)
    assert failed(recipe(tmp_path), seen) == ["connections at once"]
    assert failed(recipe(tmp_path, open_at_once=2), seen) == []


def test_connections_that_touch_are_not_at_once() -> None:
    """Nor are those whose close the server notices a moment late; one left open is."""
    a, b = Connected(1, 0.0, 5.04), Connected(2, 5.0, 9.0)
    assert open_at_once(observed(connections=(a, b))) == 1
    assert open_at_once(observed(connections=(replace(a, closed_s=None), b))) == 2
    assert open_at_once(observed(connections=())) == 0


def test_call_ends_for_the_reason_expected(tmp_path: Path) -> None:
    """By default because the caller hung up."""
    assert failed(recipe(tmp_path), with_record(end_reason=EndReason.LIVE_LOST)) == ["end"]
    assert "end" in failed(recipe(tmp_path), with_record(end_reason=None))
    assert failed(recipe(tmp_path, end_reason=EndReason.IDLE), observed()) == ["end"]


def test_nothing_is_left_open(tmp_path: Path) -> None:
    """Whatever is, is named."""
    seen = observed(left_open=("a Live connection",))
    check = check_named("left open", recipe(tmp_path), seen)
    assert (check.ok, check.observed) == (False, "a Live connection")
