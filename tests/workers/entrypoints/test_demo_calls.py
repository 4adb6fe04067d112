"""What must come of a demo call, judged without making one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    CutRecord,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    SummaryMade,
    TurnRecord,
)
from agent.spec import load_agent
from workers.entrypoints.demo_calls import DATA, LONG, PLAIN, RESETS, DemoCall
from workers.twin import speech
from workers.twin.caller import Say
from workers.twin.caller import load_script as load_caller
from workers.twin.live_api.memory import Line
from workers.twin.live_api.script import load_script as load_model
from workers.twin.live_api.session_log import Cut, SessionLog

RESUMED = MoveRecord(MoveCause.AGE, MoveMoment.SAFE_POINT, MoveKind.RESUME, 10.0, 10.1, 10.4)
REFILLED = replace(RESUMED, kind=MoveKind.REFILL)
SAID = (
    "Your name is Nora Whitfield.",
    "Your order number is 48213.",
    "Your son must not eat hazelnuts.",
    "I promised to call you on Friday at ten.",
)


def long_record() -> CallRecord:
    """A long call as it ought to go."""
    return CallRecord(
        "CA1",
        "corner-bakery",
        "gemini-3.8-live",
        end_reason=EndReason.AGENT_HUNG_UP,
        turns=[TurnRecord("agent", said, said, 60, 62) for said in SAID],
        moves=[RESUMED, RESUMED, REFILLED, RESUMED, RESUMED],
        context=ContextRecord(
            cuts=[CutRecord(20, 1_700, 790), CutRecord(40, 1_650, 780)],
            summaries=[SummaryMade(at_s, 0.01, "ok", 4, "extract") for at_s in (15, 30)],
        ),
    )


def model_log(*held: str, cut_at: float = 40.0) -> SessionLog:
    """A connection whose model is asked at 50, what it holds to the end, and what is cut off it."""
    log = SessionLog(1, "/", {}, 0.0, lines=[Line("user", text) for text in held])
    log.note(50.0, "recalled", "48213")
    log.cuts.append(Cut(cut_at, 1_700, 700, (("user", speech.line("caller_cake_who").text),)))
    return log


@pytest.mark.parametrize("demo", [PLAIN, RESETS, LONG], ids=["plain", "resets", "long"])
def test_caller_says_what_the_model_is_there_to_hear(demo: DemoCall) -> None:
    """Both scripts tell the same conversation, every line of it is recorded, the agent is good."""
    load_agent(DATA / f"{demo.agent}.yaml")
    caller = load_caller(DATA / f"{demo.caller}.yaml")
    model = load_model(DATA / f"{demo.live}.yaml")
    said = [step.what for step in caller.steps if isinstance(step, Say)]
    assert said == [turn.heard for turn in model.turns]
    assert set(said) <= set(speech.names())


def test_long_call_that_went_well_leaves_nothing_to_say() -> None:
    """Cuts, summaries, moves, a refill and right answers from a model that held no turn of them."""
    logs = [model_log("What must my son not eat?")]
    assert LONG.judge(long_record(), logs) == []
    assert LONG.epilogue is not None
    assert LONG.epilogue(long_record(), logs) == (
        "Asked at the end, the model knew 4 of 4; of the 4 turns that had told it, it still held"
        " none (its server cut 1 times)."
    )


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"end_reason": EndReason.LIVE_LOST}, "the agent did not hang up"),
        ({"moves": [REFILLED] * 3}, "3 moves, not 4"),
        ({"moves": [RESUMED] * 6}, "0 refills, not 1"),
        ({"moves": [REFILLED] * 5 + [replace(RESUMED, lost_ms=40.0)]}, "40 ms of the caller"),
        ({"turns": long_record().turns[1:]}, "3 right answers, not 4"),
    ],
)
def test_long_call_that_went_wrong_is_told_by_what_did(changed: dict[str, Any], wrong: str) -> None:
    """One thing goes wrong, and it alone is named."""
    (told,) = LONG.judge(replace(long_record(), **changed), [model_log()])
    assert wrong in told


def test_long_call_needs_cuts_and_summaries() -> None:
    """A context that nobody cut or summed up shows nothing."""
    record = replace(long_record(), context=ContextRecord())
    assert LONG.judge(record, [model_log()]) == ["0 cuts, not 2", "0 summaries, not 2"]


@pytest.mark.parametrize(
    "log",
    [model_log(speech.line("agent_cake_promise").text), model_log(cut_at=60.0)],
    ids=["to the end", "until later"],
)
def test_right_answer_of_a_model_that_was_not_cut_yet_proves_nothing(log: SessionLog) -> None:
    """The turns that told the facts must be gone by the time it is asked."""
    (told,) = LONG.judge(long_record(), [log])
    assert told == "the model still held 1 of the turns it was asked about"


@pytest.mark.parametrize(("demo", "moves"), [(PLAIN, 0), (RESETS, 3)], ids=["plain", "resets"])
def test_other_calls_have_their_number_of_moves(demo: DemoCall, moves: int) -> None:
    """No more and no less."""
    record = replace(long_record(), moves=[RESUMED] * moves)
    assert demo.judge(record, []) == []
    record.moves.append(RESUMED)
    assert demo.judge(record, []) == [f"{moves + 1} moves, not {moves}"]
