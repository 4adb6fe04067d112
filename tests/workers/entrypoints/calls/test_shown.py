"""One call is shown with all that another worker would find, but for the handle itself."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import SummaryRecord
from tests.fakes.shared_call import FIRST, SECOND
from tests.workers.entrypoints.calls.samples import CALL, NOW, recalled
from workers.entrypoints.calls.shown import call_json, print_call
from workers.store.calls import RecalledCall

HANDLE = "secret-handle"
# The call was answered 79.75 s before NOW.
CHECKPOINT = SessionCheckpoint(
    at_s=75.0,
    model="gemini-3.8-live",
    handle=HANDLE,
    handle_s=60.0,
    known_turns=9,
    answer_due=True,
    notes=("secret note", "another"),
    instruction="secret instruction",
)


def shown(call: RecalledCall, *, numbers: bool = False) -> dict[str, list[str]]:
    """What is on the screen, by label."""
    file = io.StringIO()
    print_call(Console(file=file, width=140), call, now=NOW, numbers=numbers)
    found: dict[str, list[str]] = {}
    label = ""
    for line in file.getvalue().splitlines():
        label = line[:12].strip() or label
        found.setdefault(label, []).append(line[13:].rstrip())
    return found


def test_call_that_goes_on_is_shown_from_row_to_last_turn() -> None:
    """Who serves it, who did and why not any more, what was moved, run and said."""
    found = shown(recalled(checkpoint=CHECKPOINT))
    assert found["Call"] == [f"{CALL}, inbound"]
    assert found["State"] == ["in progress, written 3.0 s ago"]
    assert found["Worker"] == [FIRST]
    assert found["Fencing no."] == ["4"]
    assert found["Lost"] == ["1 stream, the last 60 s ago"]
    assert found["Streams"] == [
        f"1: 0:00.0 at {FIRST}. Its worker died or fell silent",
        f"2: 0:19.6 to 0:41.3 at {SECOND}. Handed over to another worker",
        f"3: 0:42.5 at {FIRST}. It goes on",
    ]
    assert len(found["Moves"]) == 2
    assert found["Takeovers"] == ["2"]
    assert found["Tools"][1].startswith("0:17.2 book_table (unknown: its worker died;")
    assert found["Last turns"][0] == "… 5 turns before"
    assert found["Last turns"][-2:] == [
        "0:49.0 caller: Plum, please. Goodbye!",
        "0:52.6 agent: I will keep one for you. Goodbye! (after 1.0 s)",
    ]
    assert "Today there is a plum [not heard: cake, a]" in found["Last turns"][-3]
    assert "Ended" not in found


def test_checkpoint_says_how_old_it_is_and_what_is_owed() -> None:
    """The handle's age decides whether it is any use; what it does not know has to be told."""
    assert shown(recalled(checkpoint=CHECKPOINT))["Checkpoint"] == [
        "made 4.8 s ago",
        "handle, 20 s old",
        "owed: an answer, 2 turns that the handle does not know, 2 notes, a changed instruction",
    ]
    speaking = SessionCheckpoint(75.0, "m", known_turns=11, generating=True, caller_speaking=True)
    assert shown(recalled(checkpoint=speaking))["Checkpoint"][1:] == [
        "no handle: the next worker would refill",
        "owed: the caller is speaking, the rest of an answer",
    ]
    idle = SessionCheckpoint(75.0, "m", HANDLE, -7200.0, known_turns=11)
    assert shown(recalled(checkpoint=idle))["Checkpoint"][1:] == [
        "handle, 2 h 01 min old, too old: the next worker would refill",
        "owed: nothing",
    ]


def test_neither_handle_nor_notes_nor_numbers_are_shown() -> None:
    """Whoever has the handle and the key can ask the model what was said."""
    call = recalled(checkpoint=CHECKPOINT)
    text = str(shown(call)) + call_json(call, now=NOW, numbers=False)
    assert "secret" not in text
    assert "+1555" not in text
    assert shown(call, numbers=True)["Numbers"] == ["+15550100001 → +15550100002"]


def test_call_that_is_over_is_shown_with_its_end() -> None:
    """Nothing is left for another worker."""
    found = shown(recalled(live=False))
    assert found["State"] == ["over, written 3.0 s ago"]
    assert found["Worker"] == ["nobody"]
    assert found["Lost"] == ["no stream"]
    assert found["Checkpoint"] == ["none: it is dropped at the end"]
    assert found["Ended"] == ["The caller hung up"]


def test_call_that_has_just_begun_has_no_record() -> None:
    """That is said; nothing fails."""
    call = replace(recalled(), record=None)
    found = shown(call)
    assert found["Record"] == ["none yet: it comes with the first checkpoint"]
    assert found["Checkpoint"] == ["none yet"]
    assert shown(replace(call, checkpoint=CHECKPOINT))["Checkpoint"][:2] == [
        "made 1:15.0 into the call",
        "handle from 1:00.0",
    ]
    assert json.loads(call_json(call, now=NOW, numbers=False))["record"] is None


def test_summary_is_shown_as_far_as_there_is_one() -> None:
    """Its parts, and how many turns it covers."""
    call = recalled()
    assert call.record is not None
    call.record.summary = SummaryRecord(wants="a table", promises=("a cake", "a call"), turns=8)
    assert shown(call)["Summary"] == [
        "after 8 of 11 turns",
        "Wants: a table",
        "Promises: a cake; a call",
    ]


def test_control_characters_and_markup_stay_text() -> None:
    """What a caller says must not steer the operator's terminal."""
    call = recalled()
    assert call.record is not None
    call.record.turns[-1].said = call.record.turns[-1].heard = "[red]\x1b[31mboo"
    assert "[red]\N{REPLACEMENT CHARACTER}[31mboo" in shown(call)["Last turns"][-1]


def test_json_holds_the_same_and_the_record() -> None:
    """One line; times as numbers, the handle as whether there is one."""
    text = call_json(recalled(checkpoint=CHECKPOINT), now=NOW, numbers=True)
    assert "\n" not in text
    found = json.loads(text)
    assert (found["worker"], found["fence"], found["stream"]) == (FIRST, 4, 3)
    assert found["takeovers"] == 2
    assert found["record"]["streams"][1]["worker"] == SECOND
    assert found["from"] == "+15550100001"
    checkpoint = found["checkpoint"]
    assert checkpoint["handle"] is True
    assert checkpoint["age_s"] == pytest.approx(4.8)
    assert checkpoint["handle_age_s"] == pytest.approx(19.8)
    assert (checkpoint["untold_turns"], checkpoint["notes"]) == (2, 2)
    assert checkpoint["instruction_changed"] is True
    assert checkpoint["answer_due"] is True
