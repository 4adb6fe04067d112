"""``evercall calls show``: all that is known of one call, while it goes on and afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.checkpoint import HANDLE_LIFE_S, SessionCheckpoint
from agent.conversation.record import CallRecord, TurnRecord
from workers.dashboard.export import record_json
from workers.dashboard.memory import covered_words, summary_parts, turns_words
from workers.dashboard.moves import move_words
from workers.dashboard.story import at, end_of, heard_and_not, long, one_line, tool_verdict
from workers.dashboard.streams import stream_end
from workers.entrypoints.calls.find import is_over, state_words
from workers.entrypoints.calls.listed import takeovers_of
from workers.entrypoints.calls.words import NOBODY, age, counted
from workers.store.calls import RecalledCall

LAST_TURNS = 6
_LABEL_LETTERS = 12


def print_call(console: Console, call: RecalledCall, *, now: datetime, numbers: bool) -> None:
    """Print where a call stands, who has served it, what would be handed on, what was said.

    Texts are as they are stored: redacted. A resumption handle is never shown.
    """
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL_LETTERS, style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    last = ""
    for label, line in _lines(call, now, numbers=numbers):
        # Neither rich's markup nor a terminal's control characters have an effect.
        grid.add_row("" if label == last else label, Text(one_line(line)))
        last = label
    console.print(grid, highlight=False)


def call_json(call: RecalledCall, *, now: datetime, numbers: bool) -> str:
    """The same, and the whole record, as one JSON object on one line."""
    row, record = call.row, call.record
    found: dict[str, Any] = {
        "call_sid": row.call_sid,
        "direction": row.direction,
        "state": row.state,
        "status": row.status,
        "over": is_over(row),
        "updated_at": call.updated_at.isoformat(),
        "worker": row.owner or None,
        "fence": row.fence,
        "stream": row.streams,
        "lost_at": list(row.lost_at),
        "takeovers": 0 if record is None else takeovers_of(record),
        "checkpoint": _checkpoint_object(call, now),
        "record": None if record is None else json.loads(record_json(record)),
    }
    if numbers:
        found |= {"from": row.from_number, "to": row.to_number, "transfer_to": row.transfer_to}
    return json.dumps(found, ensure_ascii=False)


def _lines(call: RecalledCall, now: datetime, *, numbers: bool) -> Iterator[tuple[str, str]]:
    row = call.row
    yield "Call", f"{row.call_sid}, {row.direction}"
    if numbers:
        yield "Numbers", f"{row.from_number} → {row.to_number}"
        if row.transfer_to:
            last_resort = ", for want of an agent" if row.last_resort else ""
            yield "Transfer", f"to {row.transfer_to}{last_resort}"
    yield "State", f"{state_words(row)}, written {age(_since_s(call.updated_at, now))} ago"
    yield "Worker", row.owner or NOBODY
    yield "Fencing no.", str(row.fence)
    yield "Lost", _losses(call, now)
    for line in _checkpoint(call, now):
        yield "Checkpoint", line
    if call.record is None:
        yield "Record", "none yet: it comes with the first checkpoint"
    else:
        yield from _record(call.record)


def _record(record: CallRecord) -> Iterator[tuple[str, str]]:
    yield "Agent", f"{record.agent} ({record.model})"
    for number, stream in enumerate(record.streams, start=1):
        tone, ended = stream_end(record, number)
        until = "" if stream.ended_s is None else f" to {at(stream.ended_s)}"
        detail = f" ({stream.detail})" if stream.detail and tone != "good" else ""
        where = stream.worker or "a worker not known"
        yield "Streams", f"{number}: {at(stream.started_s)}{until} at {where}. {ended}{detail}"
    for move in record.moves:
        yield "Moves", f"{at(move.left_s)} {move_words(move)}"
    if not record.moves:
        yield "Moves", "none"
    yield "Takeovers", str(takeovers_of(record))
    for tool in record.tools:
        yield "Tools", f"{at(tool.started_s)} {tool.name} ({tool_verdict(tool)[1]})"
    hidden = len(record.turns) - LAST_TURNS
    if hidden > 0:
        yield "Last turns", f"… {turns_words(hidden)} before"
    for turn in record.turns[-LAST_TURNS:]:
        yield "Last turns", _turn(turn)
    if record.summary is not None:
        yield "Summary", covered_words(record.summary, record)
        for name, kept in summary_parts(record.summary):
            yield "Summary", f"{name}: {'; '.join(kept)}"
    if record.end_reason is not None:
        detail = f" ({record.detail})" if record.detail else ""
        yield "Ended", f"{end_of(record.end_reason)[1]}{detail}"


def _losses(call: RecalledCall, now: datetime) -> str:
    lost = call.row.lost_at
    if not lost:
        return "no stream"
    return f"{counted(len(lost), 'stream')}, the last {age(now.timestamp() - lost[-1])} ago"


def _checkpoint(call: RecalledCall, now: datetime) -> Iterator[str]:
    checkpoint = call.checkpoint
    if checkpoint is None:
        yield "none: it is dropped at the end" if is_over(call.row) else "none yet"
        return
    call_s = _call_s(call, now)
    if call_s is None:
        yield f"made {at(checkpoint.at_s)} into the call"
    else:
        yield f"made {age(call_s - checkpoint.at_s)} ago"
    if checkpoint.handle is None:
        yield "no handle: the next worker would refill"
    elif call_s is None:
        yield f"handle from {at(checkpoint.handle_s)}"
    else:
        handle_s = call_s - checkpoint.handle_s
        old = ", too old: the next worker would refill" if handle_s > HANDLE_LIFE_S else ""
        yield f"handle, {age(handle_s)} old{old}"
    yield f"owed: {', '.join(_owed(checkpoint, call.record)) or 'nothing'}"


def _owed(checkpoint: SessionCheckpoint, record: CallRecord | None) -> Iterator[str]:
    """Yield what the next worker would have to make good, or tell its model."""
    if checkpoint.caller_speaking:
        yield "the caller is speaking"
    if checkpoint.answer_due:
        yield "an answer"
    if checkpoint.generating:
        yield "the rest of an answer"
    untold = _untold_turns(checkpoint, record)
    if untold:
        yield f"{turns_words(untold)} that the handle does not know"
    if checkpoint.notes:
        yield counted(len(checkpoint.notes), "note")
    if checkpoint.instruction is not None:
        yield "a changed instruction"


def _untold_turns(checkpoint: SessionCheckpoint, record: CallRecord | None) -> int:
    return 0 if record is None else max(0, len(record.turns) - checkpoint.known_turns)


def _checkpoint_object(call: RecalledCall, now: datetime) -> dict[str, Any] | None:
    checkpoint = call.checkpoint
    if checkpoint is None:
        return None
    call_s = _call_s(call, now)
    has_handle = checkpoint.handle is not None
    found = {
        "age_s": None if call_s is None else round(call_s - checkpoint.at_s, 1),
        # Whoever has the handle and the key can listen in on what the model knows.
        "handle": has_handle,
        "handle_age_s": (
            round(call_s - checkpoint.handle_s, 1) if has_handle and call_s is not None else None
        ),
        "untold_turns": _untold_turns(checkpoint, call.record),
    }
    kept = asdict(checkpoint)
    for name in ("handle", "handle_s", "notes", "instruction"):
        del kept[name]
    return {
        **kept,
        **found,
        "notes": len(checkpoint.notes),
        "instruction_changed": checkpoint.instruction is not None,
    }


def _call_s(call: RecalledCall, now: datetime) -> float | None:
    """Return how long the call has lasted by now; None where it is not known when it began."""
    if call.record is None or not call.record.started_at:
        return None
    return _since_s(datetime.fromisoformat(call.record.started_at), now)


def _since_s(then: datetime, now: datetime) -> float:
    return (now - then).total_seconds()


def _turn(turn: TurnRecord) -> str:
    heard, unheard = heard_and_not(turn)
    words = heard or ("" if unheard else "no words transcribed")
    missed = f" [not heard: {unheard}]" if unheard and turn.speaker == "agent" else ""
    delay = f" (after {long(turn.answer_delay_s)})" if turn.answer_delay_s is not None else ""
    return f"{at(turn.started_s)} {turn.speaker}: {words}{missed}{delay}"
