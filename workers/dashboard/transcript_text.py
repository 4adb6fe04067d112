"""A call's transcript as plain text: what was said and heard, and what is remembered of it."""

from __future__ import annotations

import textwrap

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    CutRecord,
    FactRecord,
    MoveRecord,
    SummaryMade,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
)
from workers.dashboard.memory import (
    LISTS,
    covered_words,
    cut_words,
    fact_of,
    fact_words,
    made_words,
    summary_parts,
    update_words,
)
from workers.dashboard.moves import move_words
from workers.dashboard.story import (
    Happening,
    KeysPressed,
    StreamChange,
    at,
    duration_s,
    end_of,
    happenings,
    heard_and_not,
    long,
    one_line,
    plain,
    tool_verdict,
)
from workers.dashboard.streams import change_words

_WIDTH = 96


def transcript_text(record: CallRecord) -> str:
    """Render a call for reading in a terminal or a mail; lines are at most 96 letters wide."""
    found = happenings(record)
    times = max([len(at(seconds)) for seconds, _ in found], default=0)
    ended = end_of(record.end_reason)[1]
    head = [
        f"Call {record.call_sid} with {record.agent} ({record.model}), {record.direction}",
        f"{record.started_at + ', ' if record.started_at else ''}{long(duration_s(record))}",
        f"{ended}. {record.detail}".strip(),
    ]
    lines = [_wrapped(one_line(line), "") for line in head]
    lines.append("")
    for seconds, happening in found:
        speaker, *words = _told(happening)
        start = f"{at(seconds):>{times}}  {speaker:<7} "
        for number, line in enumerate(words):
            lines.append(_wrapped(one_line(line), start if number == 0 else " " * len(start)))
    if not found:
        lines.append("Nobody said a word.")
    lines += _remembered(record)
    return "\n".join(lines) + "\n"


def _wrapped(line: str, start: str) -> str:
    rest = " " * len(start)
    return textwrap.fill(line, _WIDTH, initial_indent=start, subsequent_indent=rest) or start


def _remembered(record: CallRecord) -> list[str]:
    lines: list[str] = []
    if record.summary is not None:
        lines += ["", f"Summary, {covered_words(record.summary, record)}"]
        for name, parts in summary_parts(record.summary):
            dash = "- " if name in LISTS else ""
            for number, part in enumerate(parts):
                start = f"  {name + ':' if number == 0 else '':<13}{dash}"
                lines.append(_wrapped(one_line(part), start))
    if record.facts:
        lines += ["", "What the agent was told to remember"]
        lines += [_wrapped(one_line(f"{fact.key}: {fact.value}"), "  ") for fact in record.facts]
    return lines


def _told(happening: Happening) -> list[str]:
    """Return who, then one or more lines."""
    match happening:
        case TurnRecord(speaker="agent"):
            heard, unheard = heard_and_not(happening)
            lines = [heard] if heard or not unheard else []
            if unheard:
                share = f"heard {happening.heard_ms / 1000:.1f} of {happening.said_ms / 1000:.1f} s"
                lines.append(f"[{share}; not heard: {unheard}]")
            return ["agent", *lines]
        case TurnRecord():
            return ["caller", happening.said]
        case ToolRecord() if fact := fact_of(happening):
            return ["-", fact_words(fact)]
        case ToolRecord(name=name):
            result = f" -> {plain(happening.response)}" if happening.response else ""
            verdict = tool_verdict(happening)[1]
            return ["-", f"tool {name}({plain(happening.args)}){result} ({verdict})"]
        case BargeInRecord(cut_ms=cut_ms):
            return ["-", f"the caller interrupted; {long(cut_ms / 1000)} of speech were not played"]
        case KeysPressed(digits=digits, sent=sent):
            return ["-", f"the {'agent sent' if sent else 'caller pressed'} {digits}"]
        case MoveRecord(detail=detail):
            return ["-", f"move: {move_words(happening)}", *([f"[{detail}]"] if detail else [])]
        case StreamChange(stream=stream, before=before):
            sids = f"[{before.stream_sid} -> {stream.stream_sid}]"
            return ["-", change_words(happening), *([before.detail] if before.detail else []), sids]
        case CutRecord():
            return ["-", cut_words(happening)]
        case SummaryMade(detail=detail):
            return ["-", made_words(happening), *([f"[{detail}]"] if detail else [])]
        case UpdateRecord():
            return ["-", update_words(happening)]
        case FactRecord():
            return ["-", fact_words(happening)]
