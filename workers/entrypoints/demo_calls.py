"""The calls ``evercall demo`` can make: what each is made of, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.conversation.record import CallRecord, EndReason, MoveKind
from workers.twin import speech
from workers.twin.live_api.faults import NO_CLOSE_FRAME, Close, Fault, GoAway, RefuseSetup
from workers.twin.live_api.session_log import SessionLog
from workers.twin.live_api.usage import RATES, Rates

DATA = Path(__file__).parent.parent / "twin" / "data"

# What Live connections are taken to cost: the real ones have not been measured.
_SETUP_S, _RESUME_S = 0.5, 0.3

# In the first connection the server announces its end in good time; in the second it leaves one
# second, in the middle of an answer; the third is a TCP reset in the middle of an answer.
_RESETS: tuple[Fault, ...] = (
    GoAway(sessions=frozenset({1}), turn=1, time_left_s=50),
    GoAway(sessions=frozenset({2}), answer=1, audio_ms=3_000, time_left_s=1),
    Close(sessions=frozenset({3}), answer=3, audio_ms=2_000, code=NO_CLOSE_FRAME),
)
# Every connection is sent away, and left about as old as nine minutes are in an hour; the third is
# to take over by a handle that the server will not have. A fresh session is told all turns of a
# talk so short: it comes early, so that they are cut before the questions.
_LONG: tuple[Fault, ...] = (
    GoAway(after_s=8, time_left_s=10),
    RefuseSetup(
        sessions=frozenset({3}),
        when="resume",
        code=1007,
        reason="Request contains an invalid argument.",
    ),
)

_FACTS_TOLD = ("caller_cake_who", "caller_cake_when", "caller_cake_nuts", "agent_cake_promise")
"""The lines without which the model cannot know what it is asked."""
_ANSWERS = (
    "agent_cake_your_name",
    "agent_cake_your_number",
    "agent_cake_your_son",
    "agent_cake_promised",
)
"""What a model says that still knows it."""
_LEAST_MOVES, _LEAST_CUTS, _LEAST_SUMMARIES = 4, 2, 2

Judge = Callable[[CallRecord, Sequence[SessionLog]], list[str]]
"""Says what did not go as planned, by the record and by what the model's server saw."""


@dataclass(frozen=True, slots=True)
class DemoCall:
    """One call: its files in the twin's data folder, what goes wrong in it, and its judge."""

    agent: str
    live: str
    caller: str
    judge: Judge
    timeout_s: float
    faults: tuple[Fault, ...] = ()
    setup_s: float = 0.05
    resume_s: float | None = None
    rates: Rates = RATES
    epilogue: Callable[[CallRecord, Sequence[SessionLog]], str] | None = None
    """Says what cannot be seen from the record alone."""


def known(record: CallRecord) -> int:
    """Count the questions at the end of the long call that were answered rightly."""
    heard = " ".join(turn.heard for turn in record.turns if turn.speaker == "agent")
    return sum(speech.line(name).text in heard for name in _ANSWERS)


def held_when_asked(logs: Sequence[SessionLog]) -> int:
    """Count the lines that told the facts and were still with the model as it was asked."""
    held: set[str] = set()
    for log in logs:
        asked_at = [note.at for note in log.notes if note.kind in ("recalled", "not_recalled")]
        if asked_at:
            held.update(text for _, text in log.memory)
            # What was cut later was still there.
            held.update(text for cut in log.cuts if cut.at > asked_at[0] for _, text in cut.lines)
    told = [speech.line(name).text for name in _FACTS_TOLD]
    return sum(any(text in line for line in held) for text in told)


def _ended(record: CallRecord, _logs: Sequence[SessionLog], *, moves: int | None = 0) -> list[str]:
    wrong = []
    if record.end_reason is not EndReason.AGENT_HUNG_UP:
        wrong.append("the agent did not hang up")
    if moves is not None and len(record.moves) != moves:
        wrong.append(f"{len(record.moves)} moves, not {moves}")
    return wrong


def _remembered(record: CallRecord, logs: Sequence[SessionLog]) -> list[str]:
    wrong = _ended(record, logs, moves=None)
    made = sum(one.outcome == "ok" for one in record.context.summaries)
    refilled = sum(move.kind in (MoveKind.REFILL, MoveKind.STANDBY) for move in record.moves)
    lost_ms = sum(move.lost_ms for move in record.moves)
    for what, count, least in (
        ("moves", len(record.moves), _LEAST_MOVES),
        ("refills", refilled, 1),
        ("cuts", len(record.context.cuts), _LEAST_CUTS),
        ("summaries", made, _LEAST_SUMMARIES),
        ("right answers", known(record), len(_ANSWERS)),
    ):
        if count < least:
            wrong.append(f"{count} {what}, not {least}")
    if held := held_when_asked(logs):
        wrong.append(f"the model still held {held} of the turns it was asked about")
    if lost_ms:
        wrong.append(f"{lost_ms:.0f} ms of the caller's speech lost")
    return wrong


def _what_it_knew(record: CallRecord, logs: Sequence[SessionLog]) -> str:
    cuts = sum(len(log.cuts) for log in logs)
    return (
        f"Asked at the end, the model knew {known(record)} of {len(_ANSWERS)}; of the"
        f" {len(_FACTS_TOLD)} turns that had told it, it still held"
        f" {held_when_asked(logs) or 'none'} (its server cut {cuts} times)."
    )


PLAIN = DemoCall("demo-agent", "demo-live", "demo-caller", _ended, timeout_s=90)
"""Takes about 35 s."""
RESETS = DemoCall(
    "demo-agent",
    "resets-live",
    "resets-caller",
    partial(_ended, moves=len(_RESETS)),
    timeout_s=90,
    faults=_RESETS,
    setup_s=_SETUP_S,
    resume_s=_RESUME_S,
)
LONG = DemoCall(
    "long-agent",
    "long-live",
    "long-caller",
    _remembered,
    timeout_s=180,
    faults=_LONG,
    setup_s=_SETUP_S,
    resume_s=_RESUME_S,
    # Three times what a second of audio costs (25 to 32 tokens).
    rates=Rates(caller_per_s=96, model_per_s=75),
    epilogue=_what_it_knew,
)
"""An hour in about 80 s; the agent's file says how it is scaled."""
