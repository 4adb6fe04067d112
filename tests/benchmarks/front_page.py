"""The README's first table: one core under evercall and under a stock Pipecat bot.

python -m tests.benchmarks.front_page [--runs 5] [--seconds 12]

Takes a quarter of an hour. Calls are added until some of their audio no longer comes out at
the other end; everything else is measured at the most calls that both bots carry.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import (
    added_delay,
    cost_per_call,
    memory_per_call,
    moves_beside_stock,
    report,
)
from tests.benchmarks.moves_beside_stock import Figures
from tests.benchmarks.rig import BotName, NotMeasured, Overloaded, rig

_BOTS: Final[tuple[BotName, ...]] = ("stock", "evercall")
_LADDER: Final = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100, 120, 150)
_PROMPT_MS: Final = 10.0
"""What a bridge may add each way at p95 (goal of the project)."""
_WARM_UP_S: Final = 4.0
_RESET: Final = "reset_answer"
_FEW, _MANY = 5, 15
"""Calls between which memory is measured: a stock bot carries hardly more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: added delay at p95 from caller to model and from model to caller, ms."""

    calls: int
    up_ms: float
    down_ms: float


@dataclass(frozen=True, slots=True)
class Climbed:
    """How far a bot came.

    Args:
        steps: Numbers of calls whose audio all came through.
        end: Why there is no higher one.
        of_the_bot: Whether it was the bot that carried no more, not the far ends.
    """

    steps: tuple[Step, ...]
    end: str
    of_the_bot: bool = True

    @property
    def most(self) -> int:
        """Calls whose audio all came through; 0: not even the fewest."""
        return self.steps[-1].calls if self.steps else 0

    @property
    def most_promptly(self) -> int:
        """The same with no more than 10 ms added at p95, either way, up to there."""
        most = 0
        for step in self.steps:
            if max(step.up_ms, step.down_ms) > _PROMPT_MS:
                break
            most = step.calls
        return most


@dataclass(frozen=True, slots=True)
class Measured:
    """One bot's column."""

    climbed: Climbed
    cpu_ms: float
    """Per second of call, at the number of calls that both carry."""
    cpu_at_40_ms: float | None
    """None: it does not carry 40."""
    memory_mib: float
    ready_s: float
    resets: tuple[Figures, ...]


def climb(measure: Callable[[int], Mapping[str, Any]]) -> Climbed:
    """Add calls until some audio is missing.

    Args:
        measure: As ``added_delay.measure`` for a number of calls.
    """
    steps: list[Step] = []
    for calls in _LADDER:
        try:
            window = measure(calls)
        except Overloaded as verdict:
            return Climbed(tuple(steps), f"{calls} calls: {verdict}")
        except NotMeasured as verdict:
            return Climbed(tuple(steps), f"{calls} calls: {verdict}", of_the_bot=False)
        up, down = (window[way]["frame_ms"]["p95"] for way in ("up", "down"))
        steps.append(Step(calls, up, down))
    return Climbed(tuple(steps), "no more were tried", of_the_bot=False)


def main() -> None:
    """Measure both bots and print the table."""
    parser = argparse.ArgumentParser(description="the table of the README's front page")
    parser.add_argument("--seconds", type=float, default=12, help="length of a window")
    parser.add_argument("--runs", type=int, default=5, help="of what is measured more than once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    asked = parser.parse_args()
    load = report.Load()
    climbed = {bot: climb(partial(added_delay.measure, bot, asked.seconds, None)) for bot in _BOTS}
    both = min(each.most for each in climbed.values())
    if not both:
        raise NotMeasured("; ".join(f"{bot}: {each.end}" for bot, each in climbed.items()))
    resets = _resets(asked.runs)
    measured = {
        bot: Measured(
            climbed[bot],
            _cost(bot, both, asked.seconds, asked.runs),
            _cost(bot, 40, asked.seconds, asked.runs) if climbed[bot].most >= 40 else None,
            memory_per_call.measure(bot, _FEW, _MANY, 5.0, None)["per_call_mib"],
            statistics.median(_ready_s(bot) for _ in range(asked.runs)),
            resets[bot],
        )
        for bot in _BOTS
    }
    rows = list(_rows(both, measured["stock"], measured["evercall"]))
    text = [
        report.markdown(("on one core", "stock Pipecat", "evercall"), rows),
        "",
        f"{report.processor()}. Medians of {asked.runs}; delays of one window. {load}",
        *(f"{bot} ends at {one.climbed.end}" for bot, one in measured.items()),
    ]
    report.publish(
        "front_page",
        {bot: asdict(one) for bot, one in measured.items()},
        "\n".join(text),
        asked.json,
    )


def _cost(bot: BotName, calls: int, seconds: float, runs: int) -> float:
    return statistics.median(
        cost_per_call.measure(bot, seconds, _WARM_UP_S, None, calls).cpu_ms for _ in range(runs)
    )


def _ready_s(bot: BotName) -> float:
    with rig(bot) as running:
        return running.ready_s


def _resets(runs: int) -> dict[BotName, tuple[Figures, ...]]:
    """A TCP reset in an answer, each in a call of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return {
            bot: tuple(
                pool.map(
                    moves_beside_stock.measure,
                    [_RESET] * runs,
                    [bot] * runs,
                    range(runs),
                    [None] * runs,
                )
            )
            for bot in _BOTS
        }


def _rows(both: int, stock: Measured, evercall: Measured) -> Iterator[Sequence[str]]:
    columns = (stock, evercall)
    yield (
        f"calls with ≤ {_PROMPT_MS:.0f} ms added each way at p95",
        *(str(each.climbed.most_promptly or "none") for each in columns),
    )
    yield (
        "calls whose audio all gets through, however late",
        *(_most(each.climbed) for each in columns),
    )
    yield (
        f"CPU per second of call at {both} calls",
        *(f"{each.cpu_ms:.1f} ms" for each in columns),
    )
    yield (
        "at 40 calls",
        *(
            "does not carry 40" if each.cpu_at_40_ms is None else f"{each.cpu_at_40_ms:.1f} ms"
            for each in columns
        ),
    )
    at = [next(step for step in each.climbed.steps if step.calls == both) for each in columns]
    yield (
        f"added delay at {both} calls, p95: caller to model",
        *(f"{step.up_ms:.1f} ms" for step in at),
    )
    yield ("model to caller", *(f"{step.down_ms:.1f} ms" for step in at))
    yield ("memory per further call", *(f"{each.memory_mib:.2f} MiB" for each in columns))
    yield (
        "from its start to the first call it can take",
        *(f"{each.ready_s:.1f} s" for each in columns),
    )
    yield (
        "Live connection reset in the middle of an answer: silence",
        *(_gap(each.resets) for each in columns),
    )
    yield (
        "caller audio lost at it",
        *(f"{statistics.median(_lost_ms(one) for one in each.resets):.0f} ms" for each in columns),
    )


def _most(climbed: Climbed) -> str:
    return str(climbed.most) if climbed.of_the_bot else f"{climbed.most} or more"


def _gap(resets: Sequence[Figures]) -> str:
    gaps = [one.gap_ms for one in resets if one.gap_ms is not None]
    if len(gaps) * 2 <= len(resets):
        return "the answer does not go on"
    return f"{statistics.median(gaps):.0f} ms"


def _lost_ms(one: Figures) -> float:
    return one.unsent_ms + one.died_ms


if __name__ == "__main__":
    report.run(main)
