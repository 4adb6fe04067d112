"""Load tests that never took place, of any size, with everything in them that a page shows."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from workers.dashboard.loadtest_page.numbers import Crowd
from workers.loadtest.measured import (
    Answered,
    BargedIn,
    CallMeasured,
    Ending,
    FramesCounted,
    Gap,
    OwnSlip,
    WorkerSample,
)
from workers.loadtest.plan import (
    DEFAULT_PROMISES,
    Arrivals,
    Faults,
    LineTrouble,
    Metric,
    Persona,
    Plan,
    Profile,
    Promise,
    Statistic,
)
from workers.loadtest.result import LoadResult, Machine, Verdict

MACHINE = Machine("AMD EPYC 7B13", cores=2, python="3.11.9", evercall="0.1.0")
SLIP = OwnSlip(frames=36_000, p99_ms=1.2, worst_ms=4.1, late_share=0.0)
PROMISES = (
    *DEFAULT_PROMISES,
    Promise(Metric.ANSWER_DELAY_MS, Statistic.P95, 900.0),
    Promise(Metric.BARGE_IN_MS, Statistic.MAX, 400.0),
)


def sample_result(calls: int = 240, *, seed: int = 7, name: str = "evening peak") -> LoadResult:
    """A ramp in which delays grow with the calls, some calls are refused and one is dropped."""
    dice = random.Random(seed)
    most = max(1, calls // 6)
    plan = Plan(
        name=name,
        arrivals=Arrivals(Profile.RAMP, calls=most, hold_s=180.0, rise_s=60.0),
        call_s=40.0,
        personas=MappingProxyType({Persona.TALK: 3.0, Persona.INTERRUPT: 1.0, Persona.EARLY: 0.5}),
        lines=MappingProxyType({LineTrouble.JITTER: 0.1, LineTrouble.NOISY: 0.2}),
        faults=Faults(resets_every_s=20.0, kills_every_s=45.0),
        promises=PROMISES,
    )
    begins = sorted(dice.uniform(0, 200) ** 0.9 for _ in range(calls))
    made = tuple(
        _call(dice, number, begin, load=min(1.0, begin / 60))
        for number, begin in enumerate(begins, start=1)
    )
    crowd = Crowd(made)
    made = tuple(replace(one, calls_at_once=max(1, crowd.at(one.began_s))) for one in made)
    took_s = max([1.0, *(call.began_s + call.duration_s for call in made)])
    return LoadResult(
        plan=plan,
        began_at=datetime(2026, 11, 23, 18, 30, tzinfo=UTC),
        took_s=took_s,
        machine=MACHINE,
        calls=made,
        samples=_samples(dice, made, took_s),
        slip=SLIP,
        kills_s=(45.0, 90.0, 135.0),
    )


def sample_verdicts(added_ms: float = 24.0, *, refused: int = 0) -> tuple[Verdict, ...]:
    """Verdicts on ``PROMISES`` in their order; barge-ins were not measured."""
    figures = (added_ms, 55.0, 0.0, float(refused), 0.0, 720.0, None)
    return tuple(
        Verdict(promise, figure, None if figure is None else figure <= promise.limit)
        for promise, figure in zip(PROMISES, figures, strict=True)
    )


def empty_result() -> LoadResult:
    """Broken off before anybody called."""
    return LoadResult(
        plan=Plan(),
        began_at=datetime(2026, 11, 23, 18, 30, tzinfo=UTC),
        took_s=0.0,
        machine=MACHINE,
        calls=(),
        samples=(),
        slip=OwnSlip(frames=0, p99_ms=0.0, worst_ms=0.0, late_share=0.0),
        broken_off=True,
    )


def _call(dice: random.Random, number: int, begin: float, *, load: float) -> CallMeasured:
    sid = f"CA{number:032x}"
    persona = dice.choices((Persona.TALK, Persona.INTERRUPT, Persona.EARLY), (3, 1, 0.5))[0]
    lines = tuple(line for line in (LineTrouble.JITTER, LineTrouble.NOISY) if dice.random() < 0.1)
    if load > 0.9 and dice.random() < 0.02:
        refused = Ending.REFUSED
        return CallMeasured(number, sid, persona, lines, begin, 1, refused, "503 Busy")
    dropped = number == 77
    duration = 8.0 if persona is Persona.EARLY else dice.uniform(30, 44)
    answers: list[Answered] = []
    barge_ins: list[BargedIn] = []
    gaps: list[Gap] = []
    caller_spoke: list[tuple[float, float]] = []
    agent_spoke = [(0.9, 3.4)]
    now = 4.0
    while now + 5 < duration:
        caller_spoke.append((now, now + 1.5))
        model_ms = dice.uniform(380, 520)
        added_ms = dice.lognormvariate(2.3 + 0.9 * load, 0.35)
        if dice.random() < 0.01:
            added_ms += dice.uniform(60, 300)
        delay_ms = model_ms + added_ms
        answers.append(Answered(now + 1.5, delay_ms, model_ms))
        heard = now + 1.5 + delay_ms / 1000
        end = heard + dice.uniform(1.5, 3.5)
        if persona is Persona.INTERRUPT and heard + 1.2 < end:
            stop_ms = dice.uniform(90, 240)
            barge_ins.append(BargedIn(heard + 1.0, stop_ms))
            end = heard + 1.0 + stop_ms / 1000
        agent_spoke.append((heard, end))
        if dice.random() < 0.02:
            gaps.append(Gap((heard + end) / 2, dice.uniform(22, 120)))
        now = end + dice.uniform(0.4, 1.2)
    sent = int(50 * sum(end - start for start, end in agent_spoke))
    return CallMeasured(
        number=number,
        sid=sid,
        persona=persona,
        lines=lines,
        began_s=begin,
        calls_at_once=1,
        ending=Ending.DROPPED if dropped else Ending.COMPLETED,
        reason="the stream ended: 1006" if dropped else "",
        answered_s=0.3,
        duration_s=duration,
        first_word_ms=dice.uniform(500, 900),
        answers=tuple(answers),
        unanswered=int(dropped),
        barge_ins=tuple(barge_ins),
        gaps=tuple(gaps),
        reset_gaps_ms=tuple(dice.uniform(0, 180) for _ in range(int(duration // 20))),
        caller_frames=FramesCounted(int(50 * duration), lost=int(dice.random() < 0.02)),
        agent_frames=FramesCounted(sent),
        loudness_dbfs=dice.gauss(-19.0, 0.4),
        caller_spoke=tuple(caller_spoke),
        agent_spoke=tuple(agent_spoke),
    )


def _samples(
    dice: random.Random, calls: tuple[CallMeasured, ...], took_s: float
) -> tuple[WorkerSample, ...]:
    found: list[WorkerSample] = []
    cpu_s = 4.0
    for second in range(int(took_s) + 1):
        running = sum(call.began_s <= second < call.began_s + call.duration_s for call in calls)
        cpu_s += 0.02 + running * dice.gauss(0.012, 0.0008)
        found.append(
            WorkerSample(
                at_s=float(second),
                calls=running,
                cpu_s=cpu_s,
                memory_mib=180 + 2.1 * running + dice.uniform(0, 3) + second * 0.02,
                loop_lag_ms=dice.expovariate(1 / (0.5 + running / 12)),
                queued=max(0, int(dice.gauss(running / 4, 3))),
                open_files=40 + 3 * running,
            )
        )
    return tuple(found)
