"""The numbers of one call, each with its label, ready to be shown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise

from agent.conversation.record import CallRecord, ContextRecord, MoveCause
from workers.dashboard.call_page.waveform import Waves
from workers.dashboard.moves import milliseconds, whole, worst_tone
from workers.dashboard.story import SLOW_ANSWER_S, Tone, long
from workers.dashboard.streams import workers_of

# A side whose speech stays below this is silence to a listener; the field saw full-length audio
# at near-zero loudness in 5.9 % of calls (gemini-live-api-examples issue 40). Our own line.
INAUDIBLE_DBFS = -50.0

# Of the window: from here on the session is refilled, and answers may fail.
NEARLY_FULL = 0.9

# Counters that mean that the caller's words did not arrive: lost here, or before they came here.
CALLER_LOST = "caller_audio_lost_ms"
MEDIA_GAP = "media_gap_ms"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, as text; ``tone`` says whether somebody should look at it."""

    label: str
    value: str
    tone: Tone = "good"
    note: str = ""
    note_tone: Tone = "good"


def headline(record: CallRecord) -> list[Figure]:
    """The numbers one looks at first.

    Four; the longest gap where the session moved; how much the model held where it was counted.
    """
    delays = _delays(record)
    median_s, longest_s = (statistics.median(delays), max(delays)) if delays else (0.0, 0.0)
    lost_ms = _caller_lost_ms(record) + record.counters.get(MEDIA_GAP, 0)
    cut_ms = sum(barge_in.cut_ms for barge_in in record.barge_ins)
    unknown = sum(tool.outcome == "unknown" for tool in record.tools)
    failed = sum(tool.outcome != "ok" for tool in record.tools) - unknown
    found = [
        Figure(
            "Answer delay",
            long(median_s) if delays else "–",
            "odd" if median_s > SLOW_ANSWER_S else "good",
            f"median; longest {long(longest_s)}" if delays else "nothing to answer",
            "odd" if longest_s > SLOW_ANSWER_S else "good",
        ),
        Figure(
            "Barge-ins",
            str(len(record.barge_ins)),
            note=f"{long(cut_ms / 1000)} of speech cut" if record.barge_ins else "no interruption",
        ),
        Figure(
            "Tool calls",
            str(len(record.tools)),
            "bad" if failed else "odd" if unknown else "good",
            _tools_note(len(record.tools), failed, unknown),
        ),
        Figure(
            "Audio lost",
            long(lost_ms / 1000) if lost_ms else "none",
            "bad" if lost_ms else "good",
            "of the caller's speech" if lost_ms else "no loss was counted",
        ),
    ]
    if record.moves:
        found.append(_longest_gap(record))
    if record.context.samples:
        found.append(_most_context(record.context))
    return found


def figures(record: CallRecord, waves: Waves | None) -> list[Figure]:
    """All numbers of a call; counters only where they are not zero."""
    delays = _delays(record)
    tools_s = [tool.ended_s - tool.started_s for tool in record.tools if tool.outcome != "unknown"]
    found = [
        Figure("Answers measured", str(len(delays))),
        Figure("Answer delay, median", long(statistics.median(delays)) if delays else "–"),
        Figure(
            "Answer delay, longest",
            long(max(delays)) if delays else "–",
            "odd" if delays and max(delays) > SLOW_ANSWER_S else "good",
        ),
        Figure("Caller spoke", long(_talk_s(record, "caller"))),
        Figure("Agent spoke", long(_talk_s(record, "agent"))),
        Figure("Barge-ins", str(len(record.barge_ins))),
        Figure("Model audio cut", long(sum(cut.cut_ms for cut in record.barge_ins) / 1000)),
        Figure("Tool calls", str(len(record.tools))),
    ]
    if tools_s:
        found.append(Figure("Tool, longest", long(max(tools_s))))
    found.append(Figure("Moves", str(len(record.moves)), worst_tone(record.moves)))
    if record.moves:
        found.append(_longest_gap(record))
    if len(record.streams) > 1:
        found += _streams(record)
    usage = record.usage
    found += [
        Figure("Tokens in all", f"{usage.total_tokens:,}"),
        Figure("Tokens of answers", f"{usage.response_tokens:,}"),
    ]
    if record.context.samples:
        found += _context(record)
    else:
        found.append(Figure("Tokens in context", f"{usage.context_tokens:,}"))
    if waves:
        found += [
            _loudness("Caller's loudness", waves.caller.speech_dbfs),
            _loudness("Agent's loudness", waves.agent.speech_dbfs),
        ]
    lost_ms = _caller_lost_ms(record)
    found.append(
        Figure("Caller audio lost", long(lost_ms / 1000), "bad" if lost_ms else "good")
        if lost_ms
        else Figure("Caller audio lost", "none")
    )
    if record.opted_out:
        found.append(Figure("Opted out", "yes", "odd"))
    found += [
        _counter(name, count)
        for name, count in sorted(record.counters.items())
        if count and name != CALLER_LOST
    ]
    return found


def _tools_note(tools: int, failed: int, unknown: int) -> str:
    if not tools:
        return "none asked for"
    notes = [f"{failed} failed"] if failed else []
    if unknown:
        notes.append(f"{unknown} not known")
    return "; ".join(notes) or "all worked"


def _delays(record: CallRecord) -> list[float]:
    return [turn.answer_delay_s for turn in record.turns if turn.answer_delay_s is not None]


def _talk_s(record: CallRecord, speaker: str) -> float:
    return sum(turn.ended_s - turn.started_s for turn in record.turns if turn.speaker == speaker)


def _longest_gap(record: CallRecord) -> Figure:
    """Make the figure that moves are judged by; its note tells the worse that happened."""
    longest_ms = max(move.gap_ms for move in record.moves)
    failed = sum(move.kind is None for move in record.moves)
    lost_ms = sum(move.lost_ms for move in record.moves)
    notes = [f"in {len(record.moves)} moves" if len(record.moves) > 1 else "in one move"]
    if failed:
        notes.append(f"{failed} failed")
    if whole(lost_ms):
        notes.append(f"{milliseconds(lost_ms)} lost")
    return Figure(
        "Longest gap",
        milliseconds(longest_ms),
        "odd" if whole(longest_ms) else "good",
        "; ".join(notes),
        "bad" if len(notes) > 1 else "good",
    )


def _streams(record: CallRecord) -> list[Figure]:
    """Make the figures of a call that went on over several streams."""
    pauses_s = [
        after.started_s - before.ended_s
        for before, after in pairwise(record.streams)
        if before.ended_s is not None
    ]
    takeovers = [move for move in record.moves if move.cause is MoveCause.TAKEOVER]
    return [
        Figure("Streams", str(len(record.streams))),
        Figure("Workers", str(len(workers_of(record)) or "–")),
        Figure("Takeovers", str(len(takeovers)), worst_tone(takeovers)),
        Figure(
            "Between streams, longest",
            long(max(0.0, *pauses_s)) if pauses_s else "–",
            note="from the end of a stream until the next began",
        ),
    ]


def _context(record: CallRecord) -> list[Figure]:
    """Make the figures of what the model held; those of summaries where there were any."""
    context = record.context
    most = _most_context(context)
    left = "–" if context.left_s is None else long(context.left_s)
    found = [
        Figure("Context, most", most.value, most.tone, most.note),
        Figure("Context, at the end", f"{context.tokens:,}"),
        Figure("Context lasts", left, note="until the next cut or until the window is full"),
        Figure("Context cuts", str(len(context.cuts))),
        Figure("Caller, tokens/s", f"{context.caller_tokens_per_s:.1f}", note="as learned"),
        Figure("Agent, tokens/s", f"{context.model_tokens_per_s:.1f}", note="as learned"),
    ]
    if context.summaries:
        made = sum(made.outcome == "ok" for made in context.summaries)
        failed = len(context.summaries) - made
        tokens = sum(made.tokens for made in context.summaries)
        found += [
            Figure("Summaries made", str(made)),
            Figure("Summaries failed", str(failed), "odd" if failed else "good"),
            Figure("Tokens of summaries", f"{max(tokens, record.usage.summary_tokens):,}"),
        ]
    waiting = sum(update.done_s is None for update in context.updates)
    if context.updates:
        found.append(
            Figure(
                "Updates",
                str(len(context.updates)),
                "odd" if waiting else "good",
                f"{waiting} not sent" if waiting else "",
            )
        )
    return found


def _most_context(context: ContextRecord) -> Figure:
    """Make the figure of the largest context, which the window bounds."""
    cuts = len(context.cuts)
    notes = [f"{cuts} cuts" if cuts > 1 else "one cut" if cuts else "never cut"]
    tone: Tone = "good"
    if context.window_tokens:
        share = context.most_tokens / context.window_tokens
        tone = "bad" if share > 1 else "odd" if share > NEARLY_FULL else "good"
        notes.insert(0, f"{share:.0%} of window")
    return Figure("Most in context", f"{context.most_tokens:,}", tone, "; ".join(notes))


def _caller_lost_ms(record: CallRecord) -> int:
    """Return how much caller audio was lost: the counter knows of all, a move of its own part."""
    return max(
        record.counters.get(CALLER_LOST, 0), whole(sum(move.lost_ms for move in record.moves))
    )


def _loudness(label: str, dbfs: float) -> Figure:
    if dbfs < INAUDIBLE_DBFS:
        return Figure(label, "inaudible", "bad", f"{dbfs:.0f} dBFS")
    return Figure(label, f"{dbfs:.0f} dBFS".replace("-", "−"))


def _counter(name: str, count: int) -> Figure:
    if name.endswith("_ms"):
        return Figure(name.removesuffix("_ms").replace("_", " "), long(count / 1000), "odd")
    return Figure(name.replace("_", " "), f"{count:,}", "odd")
