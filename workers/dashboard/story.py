"""What happened in a call, in order and in words: shared by the page, the text and the console."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    CutRecord,
    DigitRecord,
    EndReason,
    FactRecord,
    MoveRecord,
    StreamRecord,
    SummaryMade,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
)

# All but white space; and halves of surrogate pairs, which UTF-8 cannot carry.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")

Tone = Literal["good", "odd", "bad"]

# Keys of one number are pressed one after the other; a pause beyond this starts another. Our own.
KEY_PAUSE_S = 3.0
# Callers begin to say "hello?" at about this delay. Our own line, to colour by.
SLOW_ANSWER_S = 2.0
# A tool may return a whole page; its beginning tells what it was.
PLAIN_LETTERS = 300
# The built-in tool that pins a fact.
REMEMBER = "remember"
# A fact is pinned while its tool runs; longer than any built-in tool takes. Our own.
_PINNED_WITHIN_S = 5.0

_ENDS: dict[EndReason, tuple[Tone, str]] = {
    EndReason.CALLER_HUNG_UP: ("good", "The caller hung up"),
    EndReason.AGENT_HUNG_UP: ("good", "The agent said goodbye and hung up"),
    EndReason.TRANSFERRED: ("good", "The caller was put through"),
    EndReason.IDLE: ("odd", "Nobody spoke any more"),
    EndReason.MAX_DURATION: ("odd", "The call reached its longest allowed duration"),
    EndReason.WORKER_STOPPED: ("odd", "The worker was stopped"),
    EndReason.HANDED_OVER: ("bad", "The worker handed the call over, and nobody went on with it"),
    EndReason.TAKEN_OVER: ("bad", "Another worker took the call over and did not go on with it"),
    EndReason.STREAM_LOST: ("bad", "The media stream was lost"),
    EndReason.LIVE_LOST: ("bad", "No connection to the Live API was to be had"),
    EndReason.LIVE_REFUSED: ("bad", "The Live API refused the session"),
    EndReason.MODEL_SILENT: ("bad", "The model did not answer"),
    EndReason.INTERNAL_ERROR: ("bad", "An internal error ended the call"),
}


@dataclass(frozen=True, slots=True)
class KeysPressed:
    """Keys of the telephone that belong together, pressed by the caller or sent by the agent."""

    digits: str
    at_s: float
    sent: bool


@dataclass(frozen=True, slots=True)
class StreamChange:
    """The call went on over another media stream, maybe at another worker."""

    number: int
    """Of the new one, counted from 1."""
    stream: StreamRecord
    before: StreamRecord


Happening = (
    TurnRecord
    | ToolRecord
    | BargeInRecord
    | KeysPressed
    | MoveRecord
    | StreamChange
    | CutRecord
    | SummaryMade
    | UpdateRecord
    | FactRecord
)


def end_of(reason: EndReason | None) -> tuple[Tone, str]:
    """How grave an end is, and the end in a few words without a full stop."""
    return _ENDS[reason] if reason else ("odd", "The call has no recorded end")


def duration_s(record: CallRecord) -> float:
    """Length of the call; where its end is not known, up to the last that is."""
    if record.ended_s is not None:
        return record.ended_s
    ends = [turn.ended_s for turn in record.turns]
    ends += [tool.ended_s for tool in record.tools]
    ends += [barge_in.at_s for barge_in in record.barge_ins]
    ends += [digit.at_s for digit in record.digits]
    ends += [move.done_s for move in record.moves]
    ends += [stream.ended_s or stream.started_s for stream in record.streams]
    ends += [sample.at_s for sample in record.context.samples]
    ends += [made.at_s + made.took_s for made in record.context.summaries]
    return max(ends, default=0.0)


def happenings(record: CallRecord) -> list[tuple[float, Happening]]:
    """Everything in the call with its time, earliest first; streams only from the second on.

    A move stands where the old connection was given up. A fact that a tool pinned is told by that
    tool.
    """
    found: list[tuple[float, Happening]] = [(turn.started_s, turn) for turn in record.turns]
    found += [(tool.started_s, tool) for tool in record.tools]
    found += [(barge_in.at_s, barge_in) for barge_in in record.barge_ins]
    found += [(keys.at_s, keys) for keys in grouped_keys(record.digits)]
    # Before the move that it caused, which begins with it.
    found += [(change.stream.started_s, change) for change in _stream_changes(record)]
    found += [(move.left_s, move) for move in record.moves]
    context = record.context
    found += [(cut.at_s, cut) for cut in context.cuts]
    found += [(made.at_s, made) for made in context.summaries]
    found += [(update.at_s, update) for update in context.updates]
    found += [(fact.at_s, fact) for fact in record.facts if not _pinned_by_tool(fact, record)]
    return sorted(found, key=lambda happening: happening[0])


def _stream_changes(record: CallRecord) -> list[StreamChange]:
    streams = record.streams
    return [
        StreamChange(number, streams[number - 1], streams[number - 2])
        for number in range(2, len(streams) + 1)
    ]


def _pinned_by_tool(fact: FactRecord, record: CallRecord) -> bool:
    # By key and time: what is stored of the value may have lost a card number on either way.
    return any(
        tool.name == REMEMBER
        and 0 <= fact.at_s - tool.started_s < _PINNED_WITHIN_S
        and one_line(str(tool.args.get("key"))).casefold() == fact.key.casefold()
        for tool in record.tools
    )


def grouped_keys(digits: list[DigitRecord]) -> list[KeysPressed]:
    """Runs of keys by the same side without a pause of ``KEY_PAUSE_S``."""
    groups: list[KeysPressed] = []
    last_s = 0.0
    for digit in sorted(digits, key=lambda digit: digit.at_s):
        if groups and groups[-1].sent == digit.sent and digit.at_s - last_s < KEY_PAUSE_S:
            group = groups[-1]
            groups[-1] = KeysPressed(group.digits + digit.digit, group.at_s, group.sent)
        else:
            groups.append(KeysPressed(digit.digit, digit.at_s, digit.sent))
        last_s = digit.at_s
    return groups


def heard_and_not(turn: TurnRecord) -> tuple[str, str]:
    """Split what was said into what was heard and the rest, at a word."""
    if turn.said.startswith(turn.heard):
        return turn.heard.rstrip(), turn.said[len(turn.heard) :].strip()
    # The two may differ in spaces or a last comma; then words are counted.
    heard_words = len(turn.heard.split())
    ends = [word.end() for word in re.finditer(r"\S+", turn.said)]
    cut = ends[heard_words - 1] if 0 < heard_words <= len(ends) else len(turn.said)
    return turn.heard, turn.said[cut:].strip()


def tool_verdict(tool: ToolRecord) -> tuple[Tone, str]:
    """What came of a function call, and how long that took where it is known."""
    took = long(max(0.0, tool.ended_s - tool.started_s))
    if tool.outcome == "ok":
        return "good", took
    if tool.outcome == "unknown":
        return "odd", "unknown: its worker died; it may have been carried out"
    return "bad", f"{tool.outcome} after {took}"


def was_cut(turn: TurnRecord) -> bool:
    """Whether the caller missed a part of an agent turn."""
    return turn.speaker == "agent" and bool(heard_and_not(turn)[1])


def at(seconds: float) -> str:
    """A time in the call: ``0:07.3``, ``1:02:07.3``."""
    tenths = max(0, round(seconds * 10))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def long(seconds: float) -> str:
    """A duration to be read at a glance: ``120 ms``, ``2.4 s``, ``48 s``, ``12 min 05 s``."""
    if seconds < 0.995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def one_line(text: str) -> str:
    """``text`` without line breaks and without characters that would steer a terminal."""
    return " ".join(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).split())


def plain(values: dict[str, Any] | None) -> str:
    """Arguments or a result of a tool on one line: ``order_number "7", rush true``; cut if long."""
    values = values or {}
    if values.keys() == {"output"}:
        # What a tool returned stands under this key; the key itself tells nothing.
        inner = values["output"]
        values = inner if isinstance(inner, dict) else {"": inner}
    text = ", ".join(f"{key} {_value(value)}".strip() for key, value in values.items())
    return text if len(text) <= PLAIN_LETTERS else f"{text[: PLAIN_LETTERS - 1]}…"


def _value(value: object) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return repr(value)
