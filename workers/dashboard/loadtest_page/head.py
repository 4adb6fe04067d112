"""The head of a load test's page: how it ended in a word and a sentence, where, when, and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from urllib.parse import urlsplit, urlunsplit

from workers.dashboard.call_page.figures import Figure
from workers.dashboard.campaign_page.tables import moment
from workers.dashboard.campaign_words import percent
from workers.dashboard.loadtest_page.numbers import Crowd, quantile
from workers.dashboard.loadtest_page.tables import values_of
from workers.dashboard.loadtest_page.words import (
    LINE_WORDS,
    PERSONA_WORDS,
    arrival_words,
    ms,
    per_mille,
    promise_words,
    promised,
)
from workers.dashboard.loadtest_page.worker import WorkerFigures
from workers.dashboard.story import Tone, long
from workers.loadtest.clockwork import too_late
from workers.loadtest.measured import CallMeasured, Ending, FramesCounted
from workers.loadtest.plan import LiveSide, Metric, Plan
from workers.loadtest.result import LoadResult, Verdict


def standing(result: LoadResult, verdicts: Sequence[Verdict]) -> tuple[Tone, str, str]:
    """How grave, in a word, and in sentences."""
    slipped = too_late(result.slip)
    if slipped:
        return "bad", "Not reported", slipped
    broken = [one for one in verdicts if one.kept is False]
    kept = sum(one.kept is True for one in verdicts)
    unmeasured = len(verdicts) - kept - len(broken)
    sentences = []
    if result.broken_off:
        when = f"after {long(result.took_s)}" if result.calls else "before anybody called"
        sentences.append(f"Somebody broke it off {when}; what had been measured is judged.")
    sentences += [
        f"{promise_words(one.promise)}: {promised(one.promise, one.found or 0.0)}, "
        f"at most {promised(one.promise, one.promise.limit)} was promised."
        for one in broken
    ]
    if kept and kept == len(verdicts):
        sentences.append("Every promise was kept.")
    elif kept and not broken:
        sentences.append(f"{kept} of {len(verdicts)} promises were kept.")
    if unmeasured:
        sentences.append(f"{unmeasured} could not be judged: nothing was measured.")
    detail = " ".join(sentences)
    if broken:
        return "bad", "Failed, broken off" if result.broken_off else "Failed", detail
    if result.broken_off:
        return "odd", "Broken off", detail
    if not kept:
        return "odd", "Nothing measured" if verdicts else "Nothing promised", detail
    return "good", "Passed", detail


def facts(result: LoadResult) -> list[tuple[str, str]]:
    """Names and values of what the numbers depend on; those without a value are left out."""
    plan, machine = result.plan, result.machine
    own = plan.target.voice_url is None
    found = [
        ("Worker" if own else "Target", _target(plan)),
        ("Machine" if own else "Callers’ machine", machine.processor),
        ("Cores", f"{machine.cores:,}"),
        ("Python", machine.python),
        ("evercall", machine.evercall),
        ("Began", f"{moment(result.began_at)} UTC"),
        ("Took", long(result.took_s)),
        ("Model", "simulated" if plan.live is LiveSide.TWIN else "the real service"),
        ("Arrivals", arrival_words(plan.arrivals)),
        ("Callers", _weights(plan)),
        (
            "Lines",
            _lines(plan),
        ),
        ("Faults", _faults(plan)),
        ("Seed", str(plan.seed)),
    ]
    return [(name, value) for name, value in found if value]


def headline(result: LoadResult, worker: WorkerFigures) -> list[Figure]:
    """The numbers one looks at first: six."""
    values = values_of(result.calls)
    refused, dropped = (
        sum(call.ending is one for call in result.calls) for one in (Ending.REFUSED, Ending.DROPPED)
    )
    gaps = values[Metric.GAP_MS]
    cpu = worker.cpu_ms_per_call_s
    return [
        Figure(
            "Calls",
            f"{len(result.calls):,}",
            note=f"up to {Crowd(result.calls).most:,} at once",
        ),
        Figure(
            "Refused or dropped",
            f"{refused + dropped:,}" if refused + dropped else "none",
            "bad" if refused + dropped else "good",
            f"{refused:,} refused, {dropped:,} dropped",
        ),
        _delay("Answer delay", values[Metric.ANSWER_DELAY_MS]),
        _delay("Added delay", values[Metric.ADDED_DELAY_MS]),
        Figure(
            "Longest gap",
            ms(max(gaps)) if gaps else "none",
            note=f"{len(gaps):,} in all" if gaps else "in what callers heard",
        ),
        Figure(
            "CPU per second of call",
            "–" if cpu is None else ms(cpu),
            note="not told"
            if cpu is None
            else f"{1000 / cpu:,.0f} calls would fill a core"
            if cpu > 0
            else "",
        ),
    ]


def further(result: LoadResult, worker: WorkerFigures) -> list[Figure]:
    """All other numbers that are one for the whole test."""
    measured = result.calls
    loud = [call.loudness_dbfs for call in measured if call.loudness_dbfs is not None]
    slip = result.slip
    late = sum(call.late_frames for call in measured)
    return [
        *_endings(measured),
        Figure("Questions unanswered", f"{sum(call.unanswered for call in measured):,}"),
        _frames("Caller’s frames lost", [call.caller_frames for call in measured]),
        _frames("Agent’s frames lost", [call.agent_frames for call in measured]),
        Figure(
            "Loudness of the agent",
            f"{median(loud):.1f} dBFS" if loud else "–",
            note=f"median; quietest call {min(loud):.1f} dBFS" if loud else "it said nothing",
        ),
        Figure(
            "Memory per further call",
            "–" if worker.mib_per_call is None else f"{worker.mib_per_call:.1f} MiB",
            note="" if worker.most_mib is None else f"at most {worker.most_mib:,.0f} MiB in all",
        ),
        Figure(
            "Worker’s event loop late by",
            "–" if worker.worst_lag_ms is None else ms(worker.worst_lag_ms),
            note="at worst" if worker.worst_lag_ms is not None else "not told",
        ),
        Figure(
            "Longest queue of the worker",
            "–" if worker.most_queued is None else f"{worker.most_queued:,}",
            note="journal and log records" if worker.most_queued is not None else "not told",
        ),
        Figure(
            "Open files of the worker",
            "–" if worker.most_files is None else f"{worker.most_files:,}",
            note="at most" if worker.most_files is not None else "not told",
        ),
        Figure(
            "Callers’ own clockwork late by",
            ms(slip.p99_ms),
            note=f"p99 of {slip.frames:,} ticks; worst {ms(slip.worst_ms)}, "
            f"{percent(slip.late_share)} more than 5 ms; {late:,} frames sent late",
        ),
    ]


def _endings(measured: Sequence[CallMeasured]) -> list[Figure]:
    def count(ending: Ending) -> str:
        return f"{sum(call.ending is ending for call in measured):,}"

    return [
        Figure("Calls completed", count(Ending.COMPLETED)),
        Figure("Calls refused", count(Ending.REFUSED)),
        Figure("Calls dropped", count(Ending.DROPPED)),
        Figure("Calls stopped with the test", count(Ending.STOPPED)),
    ]


def _delay(label: str, values: Sequence[float]) -> Figure:
    if not values:
        return Figure(label, "–", note="not measured")
    p50, p95, p99 = (quantile(values, share) for share in (0.5, 0.95, 0.99))
    return Figure(f"{label}, p95", ms(p95), note=f"p50 {ms(p50)}, p99 {ms(p99)}")


def _frames(label: str, counted: Sequence[FramesCounted]) -> Figure:
    sent = sum(one.sent for one in counted)
    lost = sum(one.lost for one in counted)
    twice = sum(one.twice for one in counted)
    if not sent:
        return Figure(label, "–", note="not counted")
    return Figure(
        label,
        f"{lost:,}",
        "bad" if lost else "good",
        f"{per_mille(1000 * lost / sent)} of {sent:,}" + (f"; {twice:,} twice" if twice else ""),
    )


def _target(plan: Plan) -> str:
    if plan.target.voice_url is None:
        count = plan.target.processes
        return f"its own, {count} process{'' if count == 1 else 'es'}"
    try:
        parts = urlsplit(plan.target.voice_url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "not an address"
    # A page is handed on: a password stays behind, and so does what may be a token.
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _weights(plan: Plan) -> str:
    total = sum(plan.personas.values())
    if total <= 0:
        return ""
    if len(plan.personas) == 1:
        return f"each {PERSONA_WORDS[next(iter(plan.personas))]}"
    return ", ".join(
        f"{percent(weight / total)} {PERSONA_WORDS[one]}" for one, weight in plan.personas.items()
    )


def _lines(plan: Plan) -> str:
    return ", ".join(f"{LINE_WORDS[one]} {percent(share)}" for one, share in plan.lines.items())


def _faults(plan: Plan) -> str:
    faults = plan.faults
    told = (
        ("resets", faults.resets_every_s),
        ("broken connections", faults.breaks_every_s),
        ("killed processes", faults.kills_every_s),
    )
    return ", ".join(f"{name} every {every:g} s" for name, every in told if every > 0)
