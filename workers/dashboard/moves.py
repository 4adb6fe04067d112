"""Reset reports in words: how a call got from one Live connection to the next, and how well."""

from __future__ import annotations

from collections.abc import Iterable

from agent.conversation.record import MoveCause, MoveKind, MoveMoment, MoveRecord
from workers.dashboard.story import Tone, long

_CAUSES: dict[MoveCause, str] = {
    MoveCause.GO_AWAY: "the server said that it would close the connection",
    MoveCause.AGE: "the connection had reached its age limit",
    MoveCause.LATENCY: "answers had become slow",
    MoveCause.LOST: "the connection had ended",
    MoveCause.SILENT: "the model did not answer, or not audibly",
    MoveCause.DEAF: "the session was resumed and never answered",
    MoveCause.FORGOT: "the session was resumed without its memory",
    MoveCause.CONTEXT: "the context was nearly full, or about to lose what nothing else held",
    MoveCause.TAKEOVER: "the call went on at another worker, or on another stream",
    MoveCause.UPDATE: "there was something to tell the model, which it takes at a move only",
}
_MOMENTS: dict[MoveMoment, str] = {
    MoveMoment.SAFE_POINT: "at a safe point",
    MoveMoment.FORCED: "at the deadline",
    MoveMoment.ABRUPT: "abruptly",
}
_WAYS: dict[MoveKind | None, str] = {
    MoveKind.RESUME: "resumed",
    MoveKind.REFILL: "refilled",
    MoveKind.STANDBY: "moved to the stand-by",
    None: "no connection",
}
_GRAVITY: dict[Tone, int] = {"good": 0, "odd": 1, "bad": 2}


def milliseconds(ms: float) -> str:
    """A duration of a report, as it is read at a glance."""
    return long(whole(ms) / 1000)


def whole(ms: float) -> int:
    """Whole milliseconds; what is shown as none is none for the tone, too."""
    return max(0, round(ms))


def tone_of(move: MoveRecord) -> Tone:
    """Good where the caller noticed nothing; bad where something of theirs is gone for good."""
    if move.kind is None or whole(move.lost_ms):
        return "bad"
    return "odd" if whole(move.gap_ms) else "good"


def worst_tone(moves: Iterable[MoveRecord]) -> Tone:
    """The tone of the gravest of them; good where there are none."""
    return max(map(tone_of, moves), key=_GRAVITY.__getitem__, default="good")


def cause_words(cause: MoveCause) -> str:
    """Why a connection was left, for somebody who does not know the cause's name."""
    return _CAUSES[cause]


def move_words(move: MoveRecord) -> str:
    """One move on one line, such as ``go_away at a safe point, resumed in 310 ms; gap 0 ms, …``."""
    took = long(max(0.0, move.done_s - move.left_s))
    tries = f", {move.tries} tries" if move.tries > 1 else ""
    return (
        f"{move.cause.value} {_MOMENTS[move.moment]}, {_WAYS[move.kind]} in {took}{tries};"
        f" gap {milliseconds(move.gap_ms)}, {milliseconds(move.lost_ms)} lost"
    )
