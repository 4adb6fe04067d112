"""How long a caller hears nothing because of a move, for each kind of move.

python -m tests.benchmarks.move_gap [--runs 100] [--only NAME] [--at-once 10]

Worker and twins share a process; several such processes make calls with a few moves each. The gap
is measured at the phone, from the numbers its audio carries: for an answer that was cut off, the
silence until it went on; else how much later than usual the caller was answered, where the usual
delay is the median of calls without a move.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import multiprocessing
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from agent.conversation.record import MoveKind, MoveMoment
from agent.spec import AgentSpec, load_agent
from tests.benchmarks import report
from tests.benchmarks.moved_call import (
    AGENT,
    RESUME_S,
    SETUP_S,
    Plan,
    evercall_here,
    finish_call,
)
from tests.benchmarks.seen import (
    Seen,
    Spread,
    answer_delay_ms,
    cut_gap_ms,
    heard_twice_ms,
    lost_audio,
    times_begun,
)
from workers.logs import start_logs
from workers.twin import caller
from workers.twin.live_api.faults import Close, Fault, GoAway, NoHandles, RefuseSetup
from workers.twin.live_api.script import LiveScript, Say, TextRule, Turn

ALLOWED_MS = 150.0
"""What a gap may last beyond the set-ups it needs."""
_RESUME_MS, _SETUP_MS = RESUME_S * 1000, SETUP_S * 1000
_MOVES_PER_CALL = 10
_CALLS_PER_PROCESS = 2
_GREETING = range(100, 140)
_SILENCE_MS = 300  # what the model takes for the end of a turn; only makes the calls shorter
_RESET = 1006
_TIMER_S = 0.01
# Hardly faster than it is heard: no more than a moment of an answer waits to be played.
_NEAR_REAL_TIME = 1.1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of move, and how calls are made in which it happens again and again.

    Args:
        name: For the command line.
        title: For the table.
        setups_ms: The set-ups a caller has to wait for.
        moment: What the worker is to report.
        kind: Likewise; None without a move.
        faults: Of every connection.
        cut_off: The gap is in an answer, rather than before one.
        answer_ms: Length of an answer.
        speak_ms: Shortest and longest sentence of the caller.
        quiet_ms: Shortest and longest pause before it.
        unmoved: So many sentences come before the first move.
    """

    name: str
    title: str
    setups_ms: float
    moment: MoveMoment = MoveMoment.ABRUPT
    kind: MoveKind | None = MoveKind.RESUME
    faults: tuple[Fault, ...] = ()
    cut_off: bool = True
    answer_ms: int = 1500
    speak_ms: tuple[int, int] = (300, 500)
    quiet_ms: tuple[int, int] = (650, 750)
    unmoved: int = 0
    standby: bool = False

    @property
    def speed(self) -> float:
        """How much faster than real time the model speaks."""
        return _NEAR_REAL_TIME if self.cut_off else 8.0


# The first answer of a connection is the greeting, or what goes on with one that was cut off.
_MID_ANSWER = Close(answer=2, audio_ms=500, code=_RESET)
_REFUSED = RefuseSetup(when="resume", code=1007, reason="Request contains an invalid argument.")

KINDS = (
    Kind(
        "none",
        "no move (how far the measurement itself spreads)",
        0,
        kind=None,
        cut_off=False,
        answer_ms=600,
        quiet_ms=(200, 800),
    ),
    Kind(
        "safe_point",
        "at a safe point, resumed",
        0,
        MoveMoment.SAFE_POINT,
        faults=(GoAway(turn=1),),
        cut_off=False,
        answer_ms=600,
        quiet_ms=(200, 800),
    ),
    Kind(
        "forced",
        "forced in an answer (`goAway`, 1 s left), resumed",
        _RESUME_MS,
        MoveMoment.FORCED,
        faults=(GoAway(answer=2, audio_ms=300, time_left_s=1.0),),
        answer_ms=2000,
    ),
    Kind("abrupt_answer", "TCP reset in an answer, resumed", _RESUME_MS, faults=(_MID_ANSWER,)),
    Kind(
        "abrupt_sentence",
        "TCP reset in the caller's sentence, resumed",
        _RESUME_MS,
        faults=(Close(speech=2, speech_ms=300, code=_RESET),),
        cut_off=False,
        answer_ms=600,
        speak_ms=(500, 1300),
        quiet_ms=(400, 600),
        unmoved=1,
    ),
    Kind(
        "refill",
        "TCP reset in an answer, no handle, refilled",
        _SETUP_MS,
        kind=MoveKind.REFILL,
        faults=(_MID_ANSWER, NoHandles()),
        quiet_ms=(850, 950),
    ),
    Kind(
        "refused",
        "TCP reset in an answer, resume refused, refilled",
        _RESUME_MS + _SETUP_MS,
        kind=MoveKind.REFILL,
        faults=(_MID_ANSWER, _REFUSED),
        quiet_ms=(1150, 1250),
    ),
    Kind(
        "standby",
        "forced in an answer, resume refused, stand-by",
        _RESUME_MS,
        MoveMoment.FORCED,
        kind=MoveKind.STANDBY,
        faults=(GoAway(answer=2, audio_ms=200, time_left_s=2.0), _REFUSED),
        answer_ms=3000,
        standby=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one call, or many, came to; milliseconds.

    Args:
        heard: Gap of each move; None where nothing came before the caller spoke again.
        usual: Delays of answers to what no move had touched.
        suspects: Calls that lost or doubled audio, so that they can be made again by their seed.
        slips: How late a timer of the process itself was; every 10 ms of the calls.
        other: Moves that were not of the kind.
    """

    heard: list[float | None] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    reported: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    replayed: list[float] = field(default_factory=list)
    lost: float = 0.0
    suspects: list[str] = field(default_factory=list)
    lost_as_reported: float = 0.0
    twice: float = 0.0
    greetings_again: int = 0
    slips: list[float] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)

    def plus(self, other: Figures) -> Figures:
        """Add those of another call."""
        return Figures(
            **{
                name.name: getattr(self, name.name) + getattr(other, name.name)
                for name in dataclasses.fields(self)
            }
        )


def plan_of(kind: Kind, moves: int, seed: int) -> Plan:
    """Lay out a call in which a kind of move happens so many times."""
    chance = random.Random(seed)
    sentences = moves + kind.unmoved
    frames = kind.answer_ms // 20
    # Apart, so that the next answer does not look like the rest of the one before.
    firsts = [1000 + n * (frames + 10) for n in range(sentences)]
    answers = tuple(range(first, first + frames) for first in firsts)

    def script(number: int, _setup: dict[str, Any]) -> LiveScript:
        # What goes on with an answer differs between connections, so that none is heard twice.
        rest, waited, other = (first + 30 * number for first in (9000, 11000, 13000))
        return LiveScript(
            opening=(Say(_line(_GREETING)),),
            turns=tuple(
                Turn(f"Question {n}.", (Say(_line(answer)),)) for n, answer in enumerate(answers)
            ),
            texts=(
                TextRule("cut off", (Say(f"coded:{rest}:300"),)),
                TextRule("waiting for your answer", (Say(f"coded:{waited}:600"),)),
            ),
            otherwise=(Say(f"coded:{other}:600"),),
            answer_delay_s=0.0,
            speed=kind.speed,
        )

    steps: list[caller.Step] = [caller.WaitAgentDone(quiet_ms=600, timeout_s=15)]
    for _ in range(sentences):
        steps.append(caller.Speak(chance.randrange(kind.speak_ms[0], kind.speak_ms[1] + 1, 20)))
        quiet_ms = chance.randrange(kind.quiet_ms[0], kind.quiet_ms[1] + 1, 20)
        steps.append(caller.WaitAgentDone(quiet_ms=quiet_ms, timeout_s=15))
    # The last move may be under way.
    steps += [caller.WaitSeconds(1.0), caller.HangUp()]
    return Plan(
        caller=caller.CallerScript(tuple(steps), coded=True),
        live=script,
        lines=(_GREETING, *answers, range(9000, 15000)),
        faults=kind.faults,
        seed=seed,
        timeout_s=30 + 10 * sentences,
    )


def _line(codes: range) -> str:
    return f"coded:{codes.start}:{len(codes) * 20}"


def figures_of(kind: Kind, plan: Plan, seen: Seen) -> Figures:
    """Measure a call."""
    found = Figures()
    if kind.cut_off:
        found.heard.extend(cut_gap_ms(seen, line) for line in plan.lines[1:-1])
    else:
        # Delays; the usual one is taken off when it is known.
        delays = [answer_delay_ms(seen, said) for said in seen.utterances()]
        found.heard.extend(delays[kind.unmoved :])
        found.usual.extend(delay for delay in delays[: kind.unmoved] if delay is not None)
    lost, twice = lost_audio(seen), heard_twice_ms(seen)
    moves = seen.record.moves if seen.record is not None else []
    of_kind = [one for one in moves if (one.moment, one.kind) == (kind.moment, kind.kind)]
    found.reported.extend(one.gap_ms for one in of_kind)
    found.held.extend(one.held_ms for one in of_kind)
    found.replayed.extend(one.replayed_ms for one in of_kind)
    found.other.update(
        f"{one.cause}, {one.moment}, {one.kind or 'no connection'}"
        for one in moves
        if one not in of_kind
    )
    return dataclasses.replace(
        found,
        lost=lost.total_ms,
        suspects=[
            f"{kind.name}, seed {plan.seed}: {lost.early_ms:.0f} ms before the first connection, "
            f"{lost.unsent_ms:.0f} ms never sent, {lost.died_ms:.0f} ms only to connections that "
            f"died; {twice:.0f} ms heard twice"
        ]
        if lost.total_ms or twice
        else [],
        lost_as_reported=sum(one.lost_ms for one in moves),
        twice=twice,
        greetings_again=max(0, times_begun(seen, _GREETING) - 1),
    )


def make_calls(name: str, moves: int, seeds: Sequence[int]) -> list[Figures]:
    """Make calls at the same time; they are looked at once all are over."""
    kind = next(kind for kind in KINDS if kind.name == name)
    plans = [plan_of(kind, moves, seed) for seed in seeds]

    async def calls() -> list[Figures]:
        slips: list[float] = []
        watching = asyncio.create_task(_watch_own_timer(slips))
        over = await asyncio.gather(
            *(finish_call(plan, evercall_here(_agent(kind))) for plan in plans)
        )
        watching.cancel()
        seen = (figures_of(kind, plan, one.look()) for plan, one in zip(plans, over, strict=True))
        return [Figures(slips=slips), *seen]

    return uvloop.run(calls())


async def _watch_own_timer(slips_ms: list[float]) -> None:
    while True:
        # Not the loop's own time, which stands still while it is late.
        due = time.monotonic() + _TIMER_S
        await asyncio.sleep(_TIMER_S)
        slips_ms.append(max(0.0, time.monotonic() - due) * 1000)


def _agent(kind: Kind) -> AgentSpec:
    spec = load_agent(AGENT)
    return dataclasses.replace(
        spec,
        vad=dataclasses.replace(spec.vad, silence_duration_ms=_SILENCE_MS),
        moves=dataclasses.replace(spec.moves, standby=kind.standby),
    )


def measure(kinds: Iterable[Kind], runs: int, at_once: int, seed: int) -> dict[str, Figures]:
    """Make the calls of several kinds, each in processes of their own."""
    tasks = []
    for kind in kinds:
        calls = -(-runs // _MOVES_PER_CALL)
        moves = -(-runs // calls)
        seeds = [seed + n for n in range(calls)]
        groups = [seeds[n : n + _CALLS_PER_PROCESS] for n in range(0, calls, _CALLS_PER_PROCESS)]
        tasks += [(kind, moves, group) for group in groups]
    # The longest first, so that none is left for the end.
    tasks.sort(key=lambda task: -task[0].answer_ms - task[0].quiet_ms[1])
    found = {kind.name: Figures() for kind in kinds}
    processes = max(1, at_once // _CALLS_PER_PROCESS)
    with ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_hush
    ) as pool:
        futures = [
            (kind, pool.submit(make_calls, kind.name, moves, group)) for kind, moves, group in tasks
        ]
        for kind, future in futures:
            for one in future.result():
                found[kind.name] = found[kind.name].plus(one)
    return found


def _hush() -> None:
    # Until the process ends: nobody reads what its workers log.
    start_logs("ERROR", stream=Path(os.devnull).open("w"), console=False)  # noqa: SIM115  # as long as the process


def main() -> None:
    """Measure and print one row for each kind."""
    parser = argparse.ArgumentParser(description="the gap of a move, for each kind of move")
    parser.add_argument("--runs", type=int, default=100, help="moves of each kind")
    parser.add_argument("--only", choices=[kind.name for kind in KINDS[1:]], metavar="NAME")
    parser.add_argument("--at-once", type=int, default=10, help="calls at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if options.only in (None, kind.name) or kind.kind is None]
    load = report.Load()
    found = measure(kinds, options.runs, options.at_once, options.seed)
    usual_ms = statistics.median(one for one in found["none"].heard if one is not None)
    slips = Spread.of(slip for one in found.values() for slip in one.slips)
    text = [
        report.markdown(_HEAD, [_row(kind, found[kind.name], usual_ms) for kind in kinds]),
        "",
        f"{options.runs} moves of each kind, {_MOVES_PER_CALL} to a call, {options.at_once} calls "
        f"at once, seed {options.seed}. The twin takes {_RESUME_MS:.0f} ms to resume and "
        f"{_SETUP_MS:.0f} ms for a fresh session; its model speaks {_NEAR_REAL_TIME:g} times as "
        f"fast as it is heard, so that hardly anything waits to be played. Without a move the "
        f"caller was answered {usual_ms:.0f} ms after the last word (median). Worker and twins "
        f"share a process, whose own timer was {slips} ms late (p50 / p95 / max). {load}",
        *_notes(kinds, found),
    ]
    results = {
        name: {
            each.name: getattr(one, each.name)
            for each in dataclasses.fields(one)
            if each.name != "slips"
        }
        for name, one in found.items()
    }
    report.publish("move_gap", results, "\n".join(text), options.json)


_HEAD = (
    "move",
    "moves",
    "gap reported, ms p50 / p95 / max",
    "gap heard, ms p50 / p95 / max",
    "allowed at p95, ms",
    "held, ms p50 / p95 / max",
    "replayed, ms p50 / p95 / max",
    "caller audio lost, ms",
    "model audio heard twice, ms",
    "greetings after the first",
)


def _row(kind: Kind, found: Figures, usual_ms: float) -> list[str]:
    def spread(values: list[float]) -> str:
        return str(Spread.of(values)) if values else ""

    gaps = _gaps(kind, found, usual_ms)
    allowed = "" if kind.kind is None else _limit(kind)
    return [
        kind.title,
        str(len(found.reported)) if kind.kind is not None else "0",
        spread(found.reported),
        spread(gaps),
        allowed,
        spread(found.held),
        spread(found.replayed),
        f"{found.lost:.0f}",
        f"{found.twice:.0f}",
        str(found.greetings_again),
    ]


def _limit(kind: Kind) -> str:
    if not kind.setups_ms:
        return "0"
    return f"{kind.setups_ms:.0f} + {ALLOWED_MS:.0f}"


def _gaps(kind: Kind, found: Figures, usual_ms: float) -> list[float]:
    off_ms = 0.0 if kind.cut_off else usual_ms
    return [max(0.0, gap - off_ms) for gap in found.heard if gap is not None]


def _notes(kinds: Sequence[Kind], found: dict[str, Figures]) -> list[str]:
    notes = []
    for kind in kinds:
        one = found[kind.name]
        if never := sum(gap is None for gap in one.heard):
            notes.append(f"{kind.name}: {never} times nothing came before the caller spoke again")
        if one.other:
            ways = "; ".join(f"{count} {way}" for way, count in one.other.most_common())
            notes.append(f"{kind.name}: moves of another kind: {ways}")
        notes += one.suspects
        if one.lost_as_reported:
            notes.append(f"{kind.name}: {one.lost_as_reported:.0f} ms lost as reported")
    return notes


if __name__ == "__main__":
    report.run(main)
