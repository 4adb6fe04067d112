"""The words of a load test's page: metrics, endings, and values with their units."""

from __future__ import annotations

from typing import Final

from workers.loadtest.measured import Ending
from workers.loadtest.plan import (
    COUNTED,
    SHARES,
    Arrivals,
    LineTrouble,
    Metric,
    Persona,
    Profile,
    Promise,
)

METRIC_WORDS: Final[dict[Metric, str]] = {
    Metric.FIRST_WORD_MS: "First word",
    Metric.ANSWER_DELAY_MS: "Answer delay",
    Metric.ADDED_DELAY_MS: "Added delay",
    Metric.BARGE_IN_MS: "Barge-in to silence",
    Metric.GAP_MS: "Gaps",
    Metric.RESET_GAP_MS: "Reset gaps",
    Metric.CALLER_FRAMES_LOST: "Caller’s frames lost",
    Metric.AGENT_FRAMES_LOST: "Agent’s frames lost",
    Metric.REFUSED: "Calls refused",
    Metric.DROPPED: "Calls dropped",
}
ENDING_WORDS: Final[dict[Ending, str]] = {
    Ending.COMPLETED: "Completed",
    Ending.STOPPED: "Stopped with the test",
    Ending.REFUSED: "Refused",
    Ending.DROPPED: "Dropped",
}
PERSONA_WORDS: Final[dict[Persona, str]] = {
    Persona.TALK: "talks",
    Persona.LISTEN: "listens",
    Persona.INTERRUPT: "interrupts",
    Persona.SILENT: "is silent",
    Persona.KEYS: "presses keys",
    Persona.EARLY: "hangs up early",
}
LINE_WORDS: Final[dict[LineTrouble, str]] = {
    LineTrouble.NOISY: "noisy line",
    LineTrouble.JITTER: "jitter",
    LineTrouble.SLOW_READER: "slow reader",
}


def ms(value: float) -> str:
    """A delay: ``0.4 ms``, ``31.5 ms``, ``1,240 ms``; a decimal where it could decide."""
    text = f"{value:,.1f}" if abs(value) < 99.95 else f"{value:,.0f}"
    return f"{text.removesuffix('.0')} ms"


def promise_words(promise: Promise) -> str:
    """What is promised something about: ``Added delay, p95``."""
    words = METRIC_WORDS[promise.metric]
    if promise.statistic is None:
        return words
    return f"{words}, {'longest' if promise.statistic == 'max' else promise.statistic}"


def promised(promise: Promise, value: float) -> str:
    """A value of what is promised, with all the decimals that can decide."""
    if promise.metric in COUNTED:
        return f"{value:,.0f}"
    if promise.metric in SHARES:
        return per_mille(value)
    text = f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{text} ms"


def per_mille(value: float) -> str:
    """A share in thousandths: ``0``, ``0.25 ‰``; what is there never reads as nothing."""
    if value == 0:
        return "0 ‰"
    if value < 0.005:
        return "< 0.01 ‰"
    text = f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{text} ‰"


def calls(count: int) -> str:
    """``1 call``, ``12 calls``."""
    return f"{count:,} call{'' if count == 1 else 's'}"


def arrival_words(arrivals: Arrivals) -> str:
    """The profile in words: ``ramp to 40 calls in 20 s, held for 60 s``."""
    held = f"{arrivals.hold_s:g} s"
    match arrivals.profile:
        case Profile.RAMP:
            return f"ramp to {calls(arrivals.calls)} in {arrivals.rise_s:g} s, held for {held}"
        case Profile.STEPS:
            return f"{arrivals.steps} steps to {calls(arrivals.calls)}, each held for {held}"
        case Profile.SPIKE:
            return (
                f"{calls(arrivals.base)} for {held}, "
                f"{arrivals.calls:,} for {arrivals.spike_s:g} s of it"
            )
        case Profile.SOAK:
            return f"soak of {calls(arrivals.calls)} for {held}"
