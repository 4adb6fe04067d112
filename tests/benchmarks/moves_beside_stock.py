"""What a caller loses when Live connections end: a stock Pipecat bot beside evercall.

python -m tests.benchmarks.moves_beside_stock [--runs 3] [--only SCENARIO] [--at-once 5]

Each bot has a process of its own and its defaults; both have the same two far ends, the same caller
and the same faults. What is measured comes from the far ends alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks import report
from tests.benchmarks.bots import bot_apart
from tests.benchmarks.moved_call import RESUME_S, SETUP_S, Plan, make_call
from tests.benchmarks.rig import BotName
from tests.benchmarks.seen import (
    Seen,
    answer_delay_ms,
    cut_gap_ms,
    heard_twice_ms,
    is_whole,
    lost_audio,
    share_heard,
    times_begun,
)
from workers.entrypoints.drill.observed import FRAME_MS
from workers.logs import start_logs
from workers.twin import caller
from workers.twin.live_api.faults import Close, Fault, GoAway
from workers.twin.live_api.script import CallTool, LiveScript, Say, Steps, TextRule, Turn

_BOTS: tuple[BotName, ...] = ("stock", "evercall")
_RESET = 1006
_UNAVAILABLE = "The service is currently unavailable."
_RESULT = "value-of-a"
_GREETING = range(100, 140)
_FIRST, _SECOND, _THIRD = (range(1000, 1050), range(2000, 2200), range(3000, 3050))
_TOLD = range(4000, 4050)
_PATIENCE_S = 8.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault; the second question of three is the one it concerns.

    Args:
        go_away: Whether the server announces the end.
        answer: What the model does when it is asked the second question.
        speak_ms: Length of the second question.
        pause_s: Before it.
    """

    name: str
    title: str
    faults: tuple[Fault, ...]
    go_away: bool = False
    answer: Steps = (Say("coded:2000:1000"),)
    speak_ms: int = 1000
    pause_s: float = 0.0
    time_scale: float = 1.0
    wait_s: float = 4.0
    """From the end of the second question to the third."""
    works_s: float = 0.0
    """How long the answer takes to come even if nothing goes wrong: a tool."""

    @property
    def second(self) -> range:
        """The answer to the second question."""
        says = next(step for step in self.answer if isinstance(step, Say))
        return range(2000, 2000 + int(says.what.rpartition(":")[2]) // FRAME_MS)


# Long, so that the fault finds the model speaking: nothing of it is here before it is produced.
_LONG: Steps = (Say("coded:2000:4000"),)

SCENARIOS = (
    Scenario(
        "go_away_quiet",
        "`goAway` in a quiet moment; the end comes in the caller's next sentence",
        (GoAway(sessions=frozenset({1}), turn=2, time_left_s=50.0),),
        go_away=True,
        pause_s=1.3,
        speak_ms=1600,
        time_scale=20.0,
    ),
    Scenario(
        "go_away_answer",
        "`goAway` in an answer, 1.5 s left",
        (GoAway(sessions=frozenset({1}), answer=3, audio_ms=500, time_left_s=1.5),),
        go_away=True,
        answer=_LONG,
        wait_s=6.0,
    ),
    Scenario(
        "drop_sentence",
        "1011 in the caller's sentence",
        (Close(sessions=frozenset({1}), speech=2, speech_ms=600, reason=_UNAVAILABLE),),
        speak_ms=1600,
    ),
    Scenario(
        "reset_answer",
        "TCP reset in an answer",
        (Close(sessions=frozenset({1}), answer=3, audio_ms=1500, code=_RESET),),
        answer=_LONG,
        wait_s=6.0,
    ),
    Scenario(
        "tool_pending",
        "1011 while a tool runs",
        (Close(sessions=frozenset({1}), tool_call=1, delay_s=0.5, reason=_UNAVAILABLE),),
        answer=(CallTool("look_up", {"key": "a", "seconds": 1.5}), Say("coded:2000:1000")),
        wait_s=5.0,
        works_s=1.6,
    ),
    Scenario(
        "five_drops",
        "five drops in a row",
        (
            Close(sessions=frozenset({1}), turn=2, delay_s=0.3, reason=_UNAVAILABLE),
            Close(sessions=frozenset({2, 3, 4, 5}), after_s=0.05, reason=_UNAVAILABLE),
        ),
        wait_s=7.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one call showed.

    Args:
        gap_ms: Silence where the second answer was cut off, or how much later than the first it
            came; None where nothing came before the caller spoke again or gave up.
        acted: Whether the client closed the connection before the server did; None without goAway.
        answer: How the second question fared: ``whole``, ``gone on with``, ``cut off``, ``none``.
        question_heard: Share of the second question that the model heard which answered it.
        goes_on: Whether the third was answered.
        results_lost: Of tools that ran, results that no model got to know.
    """

    early_ms: float
    unsent_ms: float
    died_ms: float
    gap_ms: float | None
    acted: bool | None
    dials: int
    greetings_again: int
    twice_ms: float
    results_lost: int
    answer: str
    question_heard: float
    goes_on: bool


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """Lay out the call: three questions, and the fault at the second."""

    def script(number: int, _setup: dict[str, Any]) -> LiveScript:
        rest, other = (f"coded:{first + 60 * number}:600" for first in (5000, 7000))
        return LiveScript(
            opening=(Say("coded:100:800"),),
            turns=(
                Turn("Question one.", (Say("coded:1000:1000"),)),
                Turn("Question two.", scenario.answer),
                Turn("Question three.", (Say("coded:3000:1000"),)),
            ),
            texts=(
                TextRule("cut off", (Say(rest),)),
                # However a connection that never asked learns of it.
                TextRule(_RESULT, (Say("coded:4000:1000"),)),
            ),
            otherwise=(Say(other),),
            answer_delay_s=0.05,
            # Hardly faster than it is heard: no more than a moment of an answer waits to be played.
            speed=1.1,
        )

    # Differs between runs, so that not every fault meets the same phase of everything else.
    vary_s = 0.01 * (seed % 10)
    done = caller.WaitAgentDone(quiet_ms=700, timeout_s=_PATIENCE_S)
    return Plan(
        caller=caller.CallerScript.of(
            done,
            caller.WaitSeconds(vary_s),
            caller.Speak(1000),
            caller.WaitAgentDone(quiet_ms=700, timeout_s=_PATIENCE_S),
            caller.WaitSeconds(scenario.pause_s),
            caller.Speak(scenario.speak_ms),
            # Not until the agent is done: it may never begin.
            caller.WaitSeconds(scenario.wait_s),
            caller.Speak(1000),
            caller.WaitSeconds(3.0),
            caller.HangUp(),
            coded=True,
        ),
        live=script,
        lines=(_GREETING, _FIRST, scenario.second, _THIRD, _TOLD, range(5000, 9000)),
        faults=scenario.faults,
        time_scale=scenario.time_scale,
        seed=seed,
    )


def figures_of(scenario: Scenario, seen: Seen) -> Figures:
    """Measure a call."""
    lost = lost_audio(seen)
    said = [*seen.utterances(), None, None, None][:3]
    first, second, third = (None if one is None else answer_delay_ms(seen, one) for one in said)
    line = scenario.second
    heard = {frame.code for frame in seen.heard}
    answered = bool(heard.intersection(line))
    told = is_whole(seen, _TOLD)
    went_on = cut_gap_ms(seen, line)
    if answered and not is_whole(seen, line) and not told:
        gap_ms = went_on
        answer = "cut off" if went_on is None else "gone on with"
    else:
        usual_ms = None if first is None else first + scenario.works_s * 1000
        gap_ms = None if usual_ms is None or second is None else max(0.0, second - usual_ms)
        answer = "whole" if answered or told else "none"
    ran = any(isinstance(step, CallTool) for step in scenario.answer)
    before = seen.connections[0] if seen.connections else None
    return Figures(
        early_ms=lost.early_ms,
        unsent_ms=lost.unsent_ms,
        died_ms=lost.died_ms,
        gap_ms=gap_ms,
        acted=before.closed_by == "client" if scenario.go_away and before else None,
        dials=seen.dials,
        greetings_again=max(0, times_begun(seen, _GREETING) - 1),
        twice_ms=heard_twice_ms(seen),
        results_lost=int(ran and not any(_RESULT in one.results for one in seen.connections)),
        answer=answer,
        question_heard=(said[1] and share_heard(seen, said[1])) or 0.0,
        goes_on=third is not None,
    )


def measure(name: str, bot: BotName, seed: int, log: Path | None) -> Figures:
    """Make one call through a bot that has just started."""
    _hush()
    scenario = next(one for one in SCENARIOS if one.name == name)
    return figures_of(
        scenario, uvloop.run(make_call(plan_of(scenario, seed), bot_apart(bot, log=log)))
    )


def _hush() -> None:
    # Until the process ends: the far ends' own log says nothing about the bots.
    start_logs("ERROR", stream=Path(os.devnull).open("w"), console=False)  # noqa: SIM115  # as long as the process


def main() -> None:
    """Make all calls, a few at once, and print both bots side by side."""
    parser = argparse.ArgumentParser(description="moves of a stock bot beside evercall's")
    parser.add_argument("--runs", type=int, default=3, help="of each scenario")
    parser.add_argument("--only", choices=[one.name for one in SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--at-once", type=int, default=5, help="calls at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the bots' output there")
    options = parser.parse_args()
    load = report.Load()
    scenarios = [one for one in SCENARIOS if options.only in (None, one.name)]
    found: dict[tuple[str, BotName], list[Future[Figures]]] = {}
    with ProcessPoolExecutor(
        options.at_once, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        for seed in range(options.runs):
            for one in scenarios:
                for bot in _BOTS:
                    call = pool.submit(measure, one.name, bot, seed, options.log)
                    found.setdefault((one.name, bot), []).append(call)
    figures = {key: [call.result() for call in calls] for key, calls in found.items()}
    rows = [
        [one.title if bot == _BOTS[0] else "", bot, *_cells(figures[one.name, bot])]
        for one in scenarios
        for bot in _BOTS
    ]
    early = {
        bot: statistics.median(
            one.early_ms for (_, whose), calls in figures.items() if whose == bot for one in calls
        )
        for bot in _BOTS
    }
    text = [
        report.markdown(_HEAD, rows),
        "",
        f"Medians of {options.runs} calls of each kind and bot, {options.at_once} calls at once, "
        f"bots in processes of their own. The twin takes {RESUME_S * 1000:.0f} ms to resume and "
        f"{SETUP_S * 1000:.0f} ms for a fresh session; the 50 s of notice in the quiet moment pass "
        f"20 times as fast. What a bot loses that does not come back counts to the end of the "
        f"call. Not counted: what the caller said before "
        f"the first connection was ready ({early['stock']:.0f} ms of it lost by the stock bot, "
        f"{early['evercall']:.0f} ms by evercall). {load}",
    ]
    results = {
        f"{name}, {bot}": [asdict(one) for one in calls] for (name, bot), calls in figures.items()
    }
    report.publish("moves_beside_stock", results, "\n".join(text), options.json)


_HEAD = (
    "what happens",
    "bot",
    "caller audio lost, ms: never sent + only to a connection that died",
    "gap heard, ms",
    "acts on `goAway`",
    "dials",
    "greetings after the first",
    "model audio heard twice, ms",
    "tool results lost",
    "of the question the answering model heard",
    "the question's answer",
    "the next question answered",
)


def _cells(calls: Sequence[Figures]) -> list[str]:
    unsent = statistics.median(one.unsent_ms for one in calls)
    died = statistics.median(one.died_ms for one in calls)
    gaps = [one.gap_ms for one in calls if one.gap_ms is not None]
    never = len(calls) - len(gaps)
    gap = f"{statistics.median(gaps):.0f}" if gaps else ""
    if never:
        gap = f"{gap}, no end {never} of {len(calls)} times" if gaps else "no end"
    acted = Counter("yes" if one.acted else "no" for one in calls if one.acted is not None)
    return [
        f"{unsent + died:.0f} ({unsent:.0f} + {died:.0f})",
        gap,
        _counted(acted.elements()),
        f"{statistics.median(one.dials for one in calls):.0f}",
        f"{statistics.median(one.greetings_again for one in calls):.0f}",
        f"{statistics.median(one.twice_ms for one in calls):.0f}",
        f"{statistics.median(one.results_lost for one in calls):.0f}",
        f"{statistics.median(one.question_heard for one in calls):.0%}",
        _counted(one.answer for one in calls),
        _counted("yes" if one.goes_on else "no" for one in calls),
    ]


def _counted(answers: Iterable[str]) -> str:
    counts = Counter(answers)
    if len(counts) < 2:
        return next(iter(counts), "")
    return ", ".join(f"{answer} {count} times" for answer, count in counts.most_common())


if __name__ == "__main__":
    report.run(main)
