"""Follows a call that goes on and tells it on the terminal, each happening once it is settled."""

from __future__ import annotations

from collections import Counter

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
from workers.dashboard.console import CallConsole
from workers.dashboard.memory import fact_of
from workers.dashboard.story import (
    KEY_PAUSE_S,
    Happening,
    KeysPressed,
    StreamChange,
    happenings,
    heard_and_not,
    tool_verdict,
)

# Late words of a turn arrive within half a second of the next (dograh's measure), so a turn is
# told when it has been over for longer.
SETTLED_S = 1.0


class CallFollower:
    """Tells a call's record as it grows. Feed it with the record as often as you like."""

    def __init__(self, console: CallConsole) -> None:
        self._console = console
        self._told: set[tuple[str, int]] = set()

    def update(self, record: CallRecord, *, final: bool = False) -> None:
        """Tell what is new and settled; ``final`` tells the rest.

        Happenings are told in order: one that is not settled holds up those behind it. One that
        came to light late is told late.
        """
        now_s = record.ended_s or 0.0
        counts: Counter[str] = Counter()
        for at_s, happening in happenings(record):
            # Of one kind, and of one speaker, none is ever put before another; but the newest value
            # of a fact takes the place of the one before.
            kind = getattr(happening, "speaker", type(happening).__name__)
            if isinstance(happening, FactRecord):
                kind = f"{kind} {happening.key} {happening.at_s}"
            counts[kind] += 1
            key = (kind, counts[kind])
            if key in self._told:
                continue
            if not final and not _settled(happening, now_s):
                return
            self._told.add(key)
            self._tell(happening, at_s)

    def _tell(self, happening: Happening, at_s: float) -> None:
        console = self._console
        match happening:
            case TurnRecord():
                heard, missed = heard_and_not(happening)
                console.turn(
                    happening.speaker,
                    heard,
                    happening.answer_delay_s,
                    not_heard=missed,
                    at_s=at_s,
                )
            case ToolRecord() if fact := fact_of(happening):
                console.fact(fact, at_s=at_s)
            case ToolRecord():
                took_ms = (happening.ended_s - happening.started_s) * 1000
                unknown = happening.outcome == "unknown"
                console.tool(
                    happening.name,
                    happening.args,
                    happening.response,
                    took_ms,
                    note=tool_verdict(happening)[1] if unknown else "",
                    at_s=at_s,
                )
            case BargeInRecord():
                console.barge_in(happening.cut_ms, at_s=at_s)
            case MoveRecord():
                console.move(happening, at_s=at_s)
            case StreamChange():
                console.stream(happening, at_s=at_s)
            case CutRecord():
                console.cut(happening, at_s=at_s)
            case SummaryMade():
                console.summary(happening, at_s=at_s)
            case UpdateRecord():
                console.told(happening, at_s=at_s)
            case FactRecord():
                console.fact(happening, at_s=at_s)
            case keys:
                for digit in keys.digits:
                    console.digit(digit, sent=keys.sent, at_s=at_s)


def _settled(happening: Happening, now_s: float) -> bool:
    match happening:
        case TurnRecord():
            whole = happening.interrupted or happening.heard_ms >= happening.said_ms - 1
            return whole and now_s - happening.ended_s >= SETTLED_S
        case ToolRecord():
            return happening.response is not None or happening.outcome in ("cancelled", "unknown")
        case KeysPressed():
            return now_s - happening.at_s >= KEY_PAUSE_S
        case _:
            return True
