"""One call of many moves: memory, CPU of a move, connections at once, audio lost.

python -m tests.benchmarks.many_moves [--moves 200]

The worker has a process of its own. A second worker carries the same call without moves at the same
time, so that the difference is what the moves cost.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks import report
from tests.benchmarks.bots import bot_apart, cpu_s, memory_mib
from tests.benchmarks.moved_call import Bot, Plan, finish_call
from tests.benchmarks.rig import NotMeasured
from tests.benchmarks.seen import (
    Seen,
    Spread,
    cut_gap_ms,
    heard_twice_ms,
    lost_audio,
    open_at_once,
    times_begun,
)
from workers.entrypoints.drill.observed import FRAME_MS
from workers.twin import caller
from workers.twin.live_api.faults import Close, GoAway
from workers.twin.live_api.script import LiveScript, Say, TextRule, Turn
from workers.twin.live_api.server import LiveTwin

GOAL_CPU_MS = 10.0
"""Of a move."""
MOST_MOVES = 240
"""The numbers of the model's audio do not last for more, nor those of the caller."""
_RESET = 1006
_GREETING = range(100, 140)
_ANSWER_MS, _LONG_ANSWER_MS = 200, 800
_PAUSE_MS, _LONG_PAUSE_MS = 320, 700
# Of ten connections one is reset in an answer and one in the caller's sentence.
_RESET_IN_ANSWER, _RESET_IN_SENTENCE = 0, 5
_CUT_OFF = 9
_AGENT = Path(__file__).with_name("many_moves_agent.yaml")
_MARKS = (0.1, 0.3, 0.5, 0.75, 1.0)
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """The worker at a moment of the call."""

    at_s: float
    moves: int
    cpu_s: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Carried:
    """A call that is over, and how its worker fared."""

    seen: Seen
    samples: list[Sample]
    answers: tuple[range, ...]

    @property
    def length_s(self) -> float:
        """From the first connection to the end."""
        return self.samples[-1].at_s - self.samples[0].at_s

    @property
    def cpu_s(self) -> float:
        """In that time."""
        return self.samples[-1].cpu_s - self.samples[0].cpu_s

    def at_move(self, number: int) -> Sample:
        """The worker when so many moves were over; at the end if there never were."""
        return next((one for one in self.samples if one.moves >= number), self.samples[-1])


def plan_of(moves: int, *, moved: bool) -> Plan:
    """Lay out the call: a short question, a short answer, and a move after nearly each.

    If all goes as it should, there are as many questions as moves, and each tenth answer is cut
    off; so it is longer, and so is the caller's patience.
    """
    answers: list[range] = []
    first = 1000
    for n in range(moves):
        frames = (_LONG_ANSWER_MS if n % 10 == _CUT_OFF else _ANSWER_MS) // FRAME_MS
        answers.append(range(first, first + frames))
        first += frames + 5

    def script(number: int, _setup: dict[str, Any]) -> LiveScript:
        rest, waited = (f"coded:{first + 20 * number}:200" for first in (6000, 11000))
        return LiveScript(
            opening=(Say(f"coded:{_GREETING.start}:800"),),
            turns=tuple(
                Turn(f"Question {n}.", (Say(f"coded:{answer.start}:{len(answer) * FRAME_MS}"),))
                for n, answer in enumerate(answers)
            ),
            texts=(TextRule("cut off", (Say(rest),)),),
            otherwise=(Say(waited),),
            answer_delay_s=0.0,
            speed=1.2,
        )

    resets = range(1, 2 * MOST_MOVES)
    in_answer = frozenset(n for n in resets if n % 10 == _RESET_IN_ANSWER)
    in_sentence = frozenset(n for n in resets if n % 10 == _RESET_IN_SENTENCE)
    quietly = frozenset(resets) - in_answer - in_sentence
    steps: list[caller.Step] = [caller.WaitAgentDone(quiet_ms=600, timeout_s=15)]
    for n in range(moves):
        # With the answer it is just longer than what a worker takes for the end of a turn.
        quiet_ms = _LONG_PAUSE_MS if n % 10 == _CUT_OFF else _PAUSE_MS
        steps += [caller.Speak(240), caller.WaitAgentDone(quiet_ms=quiet_ms, timeout_s=15)]
    steps += [caller.WaitSeconds(1.0), caller.HangUp()]
    return Plan(
        caller=caller.CallerScript(tuple(steps), coded=True),
        live=script,
        lines=(_GREETING, *answers, range(6000, 16000)),
        faults=(
            GoAway(sessions=quietly, turn=1),
            Close(sessions=in_answer, answer=2, audio_ms=560, code=_RESET),
            Close(sessions=in_sentence, speech=2, speech_ms=120, code=_RESET),
        )
        if moved
        else (),
        timeout_s=60 + 3.0 * moves,
    )


async def carry(plan: Plan, agent: Path, log: Path | None) -> Carried:
    """Make the call, and watch the worker that carries it."""
    samples: list[Sample] = []

    async def watch(live: LiveTwin, bot: Bot) -> None:
        while True:
            ready = sum(one.ready_at is not None for one in live.sessions)
            if ready:
                at_s = time.monotonic()
                samples.append(Sample(at_s, ready - 1, cpu_s(bot.pid), memory_mib(bot.pid)))
            await asyncio.sleep(_LOOK_S)

    over = await finish_call(plan, bot_apart("evercall", agent=agent, log=log), watch)
    if not samples:
        raise NotMeasured("the call never had a connection")
    return Carried(await asyncio.to_thread(over.look), samples, plan.lines[1:-1])


async def _both(moves: int, log: Path | None) -> tuple[Carried, Carried]:
    moved, unmoved = await asyncio.gather(
        carry(plan_of(moves, moved=True), _AGENT, log),
        carry(plan_of(moves, moved=False), _AGENT, log),
    )
    return moved, unmoved


def cpu_of_a_move_ms(moved: Carried, unmoved: Carried) -> float:
    """What a move cost, beyond a call of the same length without any."""
    moves = moved.samples[-1].moves
    if not moves:
        raise NotMeasured("there was no move")
    rate = unmoved.cpu_s / unmoved.length_s
    return (moved.cpu_s - rate * moved.length_s) * 1000 / moves


def main() -> None:
    """Make the two calls and print what they show."""
    parser = argparse.ArgumentParser(description="one call of many moves")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the workers' output there")
    options = parser.parse_args()
    if not 1 <= options.moves <= MOST_MOVES:
        parser.error(f"--moves must be 1 to {MOST_MOVES}")
    load = report.Load()
    moved, unmoved = uvloop.run(_both(options.moves, options.log))
    _publish(moved, unmoved, load, options.json)


def _publish(moved: Carried, unmoved: Carried, load: report.Load, file: Path | None) -> None:
    seen = moved.seen
    records = seen.record.moves if seen.record is not None else []
    count = moved.samples[-1].moves
    cost_ms = cpu_of_a_move_ms(moved, unmoved)
    ways = Counter(f"{one.cause}, {one.moment}, {one.kind or 'no connection'}" for one in records)
    marks = sorted({max(1, round(share * count)) for share in _MARKS})
    at_marks = [moved.at_move(mark) for mark in marks]
    # The call without moves at the same moments.
    beside = [
        min(unmoved.samples, key=lambda one, at=at: abs(one.at_s - at.at_s)).memory_mib  # type: ignore[misc]  # bound early
        for at in at_marks
    ]
    lost = lost_audio(seen)
    grown = at_marks[-1].memory_mib - at_marks[0].memory_mib
    results: dict[str, Any] = {
        "moves": count,
        "reports": len(records),
        "ways": dict(ways),
        "memory_mib": {mark: at.memory_mib for mark, at in zip(marks, at_marks, strict=True)},
        "memory_without_moves_mib": dict(zip(marks, beside, strict=True)),
        "cpu_per_move_ms": cost_ms,
        "open_at_once": open_at_once(seen.connections, seen.ended_ms / 1000),
        "lost": asdict(lost),
        "heard_twice_ms": heard_twice_ms(seen),
    }
    gaps = [cut_gap_ms(seen, line) for line in moved.answers]
    cuts = [gap for gap in gaps if gap]
    never = sum(gap is None for gap in gaps)
    spread = Spread.of(one.gap_ms for one in records)
    rows: list[tuple[object, ...]] = [
        ("moves (connections after the first)", count),
        *((f"of them {way}", number) for way, number in ways.most_common()),
        *(
            (f"memory of the worker at move {mark}, MiB", f"{at.memory_mib:.1f} ({other:.1f})")
            for mark, at, other in zip(marks, at_marks, beside, strict=True)
        ),
        (
            "gap heard where an answer was cut off, ms p50 / p95 / max",
            f"{Spread.of(cuts)} ({len(cuts)} times, {never} times it never went on)",
        ),
        (f"memory from move {marks[0]} to move {marks[-1]}, MiB", f"{grown:+.1f}"),
        (f"CPU of a move, ms (goal {GOAL_CPU_MS:g})", f"{cost_ms:.1f}"),
        ("connections open at once, at most", results["open_at_once"]),
        ("gap as reported, ms p50 / p95 / max", str(spread)),
        ("caller audio lost, ms", f"{lost.total_ms:.0f}"),
        ("the same as reported, ms", f"{sum(one.lost_ms for one in records):.0f}"),
        ("model audio heard twice, ms", f"{results['heard_twice_ms']:.0f}"),
        ("greetings after the first", max(0, times_begun(seen, _GREETING) - 1)),
    ]
    text = [
        report.markdown(("one call", f"{moved.length_s:.0f} s"), rows),
        "",
        f"1 call with moves beside 1 without, a worker each. In brackets: the worker without "
        f"moves, which took {unmoved.cpu_s * 1000 / unmoved.length_s:.1f} ms of CPU per second of "
        f"call; the other took {moved.cpu_s * 1000 / moved.length_s:.1f}. {load}",
    ]
    report.publish("many_moves", results, "\n".join(text), file)


if __name__ == "__main__":
    report.run(main)
