"""The head of a load test's page: how it ended in a word and a sentence, where, when, and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from workers.dashboard.call_page.figures import Figure
from workers.dashboard.campaign_words import percent
from workers.dashboard.instants import moment
from workers.dashboard.loadtest_page.numbers import Crowd
from workers.dashboard.loadtest_page.words import (
    ENDING_WORDS,
    LINE_WORDS,
    METRIC_WORDS,
    PERSONA_WORDS,
    arrival_words,
    ms,
    per_mille,
    promise_words,
    promised,
)
from workers.dashboard.story import Tone, long
from workers.loadtest.measured import Ending
from workers.loadtest.plan import LiveSide, Metric, Plan, Statistic
from workers.loadtest.result import LoadResult, Verdict
from workers.loadtest.sums import Sums
from workers.loadtest.validity import lost, slipped


def standing(result: LoadResult, verdicts: Sequence[Verdict]) -> tuple[Tone, str, str]:
    """How grave, in a word, and in sentences."""
    missing = lost(result)
    if late := slipped(result):
        return "bad", "Not reported", f"{missing} {late}".lstrip()
    if missing:
        return "bad", "Not valid", f"{missing} What there was of the test until then is shown."
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
    if unmeasured:
        return "odd", "Not all measured", detail
    return "good", "Passed", detail


def facts(result: LoadResult) -> list[tuple[str, str]]:
    """Names and values of what the numbers depend on; those without a value are left out."""
    plan, machine = result.plan, result.machine
    own = plan.target.voice_url is None
    callers = [one for one in result.generators if one.calls]
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
        ("Made by", "; ".join(f"{one.name}, {one.calls:,} calls" for one in callers)),
        ("Seed", str(plan.seed)),
    ]
    return [(name, value) for name, value in found if value]


def headline(result: LoadResult, sums: Sums) -> list[Figure]:
    """The numbers one looks at first: six."""
    refused, dropped = sums.endings[Ending.REFUSED], sums.endings[Ending.DROPPED]
    gaps = sums.delays[Metric.GAP_MS]
    return [
        Figure("Calls", f"{sums.calls:,}", note=f"up to {Crowd(result.calls).most:,} at once"),
        Figure(
            "Refused or dropped",
            f"{refused + dropped:,}" if refused + dropped else "none",
            "bad" if refused + dropped else "good",
            f"{refused:,} refused, {dropped:,} dropped",
        ),
        _delay("Answer delay", Metric.ANSWER_DELAY_MS, sums),
        _delay("Added delay", Metric.ADDED_DELAY_MS, sums),
        Figure(
            "Longest gap",
            "none" if gaps.max_ms is None else ms(gaps.max_ms),
            note=f"{gaps.count:,} in all" if gaps.count else "in what callers heard",
        ),
        _cpu(sums.worker.cpu_ms_per_call_s),
    ]


def further(result: LoadResult, sums: Sums) -> list[Figure]:
    """All other numbers that are one for the whole test."""
    worker, slip = sums.worker, result.slip
    memory_mib = max((look.memory_mib for look in result.samples), default=None)
    return [
        *(
            Figure(f"Calls {word.lower()}", f"{sums.endings[e]:,}")
            for e, word in ENDING_WORDS.items()
        ),
        Figure("Questions unanswered", f"{sums.unanswered:,}"),
        _frames(Metric.CALLER_FRAMES_LOST, sums),
        _frames(Metric.AGENT_FRAMES_LOST, sums),
        Figure(
            "Loudness of the agent",
            "–" if sums.loudness_dbfs is None else f"{sums.loudness_dbfs:.1f} dBFS",
            note="it said nothing"
            if sums.quietest_dbfs is None
            else f"mean of calls; quietest {sums.quietest_dbfs:.1f} dBFS",
        ),
        Figure(
            "Memory per further call",
            "–" if worker.mib_per_call is None else f"{worker.mib_per_call:.1f} MiB",
            note="" if memory_mib is None else f"at most {memory_mib:,.0f} MiB in all",
        ),
        Figure(
            "Worker’s event loop late by",
            "–" if worker.loop_lag_ms is None else ms(worker.loop_lag_ms),
            note="not told" if worker.loop_lag_ms is None else "at worst",
        ),
        _most("Longest queue of the worker", worker.queued, "journal and log records"),
        _most("Open files of the worker", worker.open_files, "at most"),
        Figure(
            "Callers’ own clockwork late by",
            ms(slip.p99_ms),
            note=f"p99 of {slip.frames:,} ticks; worst {ms(slip.worst_ms)}, "
            f"{percent(slip.late_share)} more than 5 ms; {sums.late_frames:,} frames sent late",
        ),
    ]


def _delay(label: str, metric: Metric, sums: Sums) -> Figure:
    p50, p95, p99 = (
        sums.value(metric, one) for one in (Statistic.P50, Statistic.P95, Statistic.P99)
    )
    if p50 is None or p95 is None or p99 is None:
        return Figure(label, "–", note="not measured")
    return Figure(f"{label}, p95", ms(p95), note=f"p50 {ms(p50)}, p99 {ms(p99)}")


def _cpu(per_call_s: float | None) -> Figure:
    label = "CPU per second of call"
    if per_call_s is None:
        return Figure(label, "–", note="not told")
    fill = f"{1000 / per_call_s:,.0f} calls would fill a core" if per_call_s > 0 else ""
    return Figure(label, ms(per_call_s), note=fill)


def _frames(metric: Metric, sums: Sums) -> Figure:
    counted, share = sums.frames(metric), sums.value(metric)
    if share is None:
        return Figure(METRIC_WORDS[metric], "–", note="not counted")
    twice = f"; {counted.twice:,} twice" if counted.twice else ""
    return Figure(
        METRIC_WORDS[metric],
        f"{counted.lost:,}",
        "bad" if counted.lost else "good",
        f"{per_mille(share)} of {counted.sent:,}{twice}",
    )


def _most(label: str, count: int | None, note: str) -> Figure:
    return (
        Figure(label, "–", note="not told")
        if count is None
        else Figure(label, f"{count:,}", note=note)
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
