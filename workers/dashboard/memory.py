"""What the model held and was told to remember, in words: cuts, summaries, updates, facts."""

from __future__ import annotations

from agent.conversation.record import (
    CallRecord,
    CutRecord,
    FactRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    UpdateRecord,
)
from workers.dashboard.story import REMEMBER, Tone, long

LISTS = ("Facts", "Promises", "Open points")
"""Parts of a summary that are several points."""

_KINDS = {
    "context": "the agent was told something",
    "instruction": "the agent's instruction was changed",
}
_FAILURES = {
    "failed": "the text model failed",
    "timeout": "no answer in time",
    "discarded": "what came back was of no use",
}


def cut_words(cut: CutRecord) -> str:
    """What a cut took away, on one line."""
    return (
        "the server cut the oldest turns:"
        f" from {cut.before_tokens:,} to {cut.after_tokens:,} tokens"
    )


def made_tone(made: SummaryMade) -> Tone:
    """Odd where the summary is not up to date; the last good one is kept."""
    return "good" if made.outcome == "ok" else "odd"


def made_words(made: SummaryMade) -> str:
    """One attempt to summarise, such as ``summary brought up to date, 12 turns``."""
    turns = turns_words(made.turns)
    if made.outcome == "ok":
        return f"summary brought up to date, {turns}"
    return (
        f"summary not brought up to date, {turns}: {_FAILURES[made.outcome]} ({long(made.took_s)})"
    )


def update_words(update: UpdateRecord) -> str:
    """What kind of thing the model was told, and when it reaches it."""
    what = _KINDS[update.kind]
    if update.how == "next_move":
        if update.done_s is None:
            return f"{what}; it reaches the model at the next move"
        return f"{what}; it reached the model at a move, {update_delay(update)} later"
    if update.done_s is None:
        return f"{what}; it has not been sent"
    return f"{what}; it reached the model in {update_delay(update)}"


def update_delay(update: UpdateRecord) -> str:
    """How long it took until the model was told; empty while it waits."""
    return "" if update.done_s is None else long(max(0.0, update.done_s - update.at_s))


def fact_words(fact: FactRecord) -> str:
    """A fact on one line."""
    return f"remembers {fact.key}: {fact.value}"


def fact_of(tool: ToolRecord) -> FactRecord | None:
    """The fact that a call of ``remember`` pinned; None for other tools, and where it did not."""
    key, value = tool.args.get("key"), tool.args.get("value")
    if tool.name != REMEMBER or tool.outcome != "ok" or not key or not value:
        return None
    if tool.response is None or "error" in tool.response:
        return None
    return FactRecord(str(key), str(value), tool.started_s)


def turns_words(turns: int) -> str:
    """A number of turns."""
    return "1 turn" if turns == 1 else f"{turns} turns"


def covered_words(summary: SummaryRecord, record: CallRecord) -> str:
    """How much of the call a summary covers."""
    if summary.turns >= len(record.turns):
        return "after all turns"
    return f"after {summary.turns} of {turns_words(len(record.turns))}"


def summary_parts(summary: SummaryRecord) -> list[tuple[str, tuple[str, ...]]]:
    """The parts of a summary that say something, each with its heading."""
    parts = [
        ("Caller", (summary.caller,)),
        ("Wants", (summary.wants,)),
        ("Facts", summary.facts),
        ("Promises", summary.promises),
        ("Open points", summary.open_points),
        ("Language", (summary.language,)),
    ]
    return [
        (name, kept) for name, lines in parts if (kept := tuple(line for line in lines if line))
    ]
