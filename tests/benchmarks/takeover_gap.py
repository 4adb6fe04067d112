"""What a caller has of it when their worker is killed, or leaves for a deploy.

python -m tests.benchmarks.takeover_gap [--kills 10] [--each 2] [--hand-overs 3] [--calls 10]

Three workers, processes of their own, behind a balancer, on PostgreSQL or SQLite; both twins in the
benchmark's own process. *Killed*: SIGKILL while some callers speak, some listen to the agent and
some wait for a function; from Twilio's next request until the first of the caller's audio is at the
next Live session. *Handed over*: SIGTERM, at a safe point; and twice SIGTERM, in mid-answer. What
the caller notices is told by what the phone played, whatever the workers report.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks import report
from tests.benchmarks.rig import NotMeasured
from tests.scenarios.fleet.database import KINDS
from tests.scenarios.fleet.fleet import RESUME_S, Fleet, fleet
from tests.scenarios.fleet.seen import FleetCall
from tests.scenarios.fleet.talk import (
    ANSWERS,
    LONG_ANSWER,
    LONG_QUESTION,
    MODEL,
    QUESTIONS,
    greeted,
    model,
    questions,
)
from tests.scenarios.rig import until
from workers.twin.caller import HangUp, Say, Step, WaitAgentDone, WaitSeconds
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript
from workers.twin.twilio_api.result import CallResult

ALLOWED_AGAIN_MS, ALLOWED_FORCED_MS = 1500.0, 1000.0
_WORKERS = ("w1", "w2", "w3")
_LATER_S = 1.0  # at most, and at random, after everybody is where the worker is to die
_LOOK_S = 2.5
_TURNS = 5


@dataclass(slots=True)
class Kill:
    """What became of the calls of one sort whose worker was killed."""

    asked_ms: list[float] = field(default_factory=list)
    """From Twilio's next request until the agent heard the caller."""
    killed_ms: list[float] = field(default_factory=list)
    """From the kill."""
    silent_ms: list[float] = field(default_factory=list)
    """From the end of the stream until the agent went on with its answer."""
    ended: int = 0
    lost_turns: list[str] = field(default_factory=list)
    """Finished before the kill, unknown to the next model."""
    tool_runs: list[int] = field(default_factory=list)


@dataclass(slots=True)
class HandOver:
    """What became of calls whose worker was told to leave."""

    calls: int = 0
    dropped: int = 0
    silent_ms: list[float] = field(default_factory=list)
    """How long the phone was silent where it should not have been."""
    cut_ms: list[float] = field(default_factory=list)
    """Audio that was still to be played."""
    deaf_ms: list[float] = field(default_factory=list)
    """How long no worker heard the caller."""
    lost_turns: list[str] = field(default_factory=list)


# -- killed ------------------------------------------------------------------------------------

SPEAKS, LISTENS, WAITS = "the caller speaks", "the agent speaks", "a tool runs"


def _sort(name: str, key: str) -> tuple[list[Step], LiveScript]:
    if name == SPEAKS:
        steps = [*greeted(), *questions(1), Say(LONG_QUESTION), WaitAgentDone(400), HangUp()]
        return steps, model(questions=(QUESTIONS[0], LONG_QUESTION))
    if name == LISTENS:
        # Somebody who waits a while before they say more.
        steps = [*greeted(), *questions(1), Say(QUESTIONS[1]), WaitAgentDone(2_500), HangUp()]
        return steps, model((script.Say(ANSWERS[0]),), (script.Say(LONG_ANSWER),))
    steps = [*greeted(), *questions(2), HangUp()]
    books = CallTool("book_table", {"key": key, "takes_s": 12.0})
    return steps, model((script.Say(ANSWERS[0]),), (books, script.Say(ANSWERS[1])))


async def _kill(it: Fleet, name: str, each: int, kills: dict[str, Kill]) -> None:
    """Kill one worker that has some calls of each sort, and see what becomes of them."""
    it.balancer.only(name)
    calls: list[tuple[str, str, FleetCall]] = []
    for sort in kills:
        for _ in range(each):
            key = f"key{len(it.calls)}"
            steps, says = _sort(sort, key)
            calls.append((sort, key, await it.ring(*steps, model=says)))

    def there(sort: str, key: str, call: FleetCall) -> bool:
        if call.is_over:
            raise NotMeasured("a call has ended before its worker was killed")
        if call.answers < 2:
            return False
        if sort == WAITS:
            return it.tool_runs(key) == ["begun"]
        return call.caller_speaks() if sort == SPEAKS else call.agent_is_heard()

    await until(lambda: all(there(*one) for one in calls), timeout_s=30)
    await asyncio.sleep(random.uniform(0, _LATER_S))
    it.balancer.anyone()
    worker = it.workers[name]
    worker.kill()
    killed_at = worker.killed_at
    assert killed_at is not None

    async def follow(sort: str, key: str, call: FleetCall) -> None:
        kill = kills[sort]
        # Looking takes time of the twins, whose clocks are what is read.
        await asyncio.sleep(_LOOK_S)
        if await call.until_next_model(killed_at) is None:
            kill.ended += 1
            return
        kill.lost_turns += call.lost_turns(killed_at)
        await until(lambda: call.is_over or call.heard_again_s(killed_at), poll_s=0.2)
        again = call.heard_again_s(killed_at)
        if again is None:
            kill.ended += 1
            return
        kill.asked_ms.append(again[0] * 1000)
        kill.killed_ms.append(again[1] * 1000)

    async def end(sort: str, key: str, call: FleetCall) -> None:
        result = await call.wait(60)
        kills[sort].ended += not result.script_finished
        kills[sort].tool_runs.append(it.tool_runs(key).count("begun"))
        if sort == LISTENS:
            kills[sort].silent_ms += _silent_ms(result)

    await asyncio.gather(*(follow(*one) for one in calls))
    # Another one in its place costs what the others are measured by, so it comes now.
    _, *_ = await asyncio.gather(it.restart(name), *(end(*one) for one in calls))


# -- handed over -------------------------------------------------------------------------------


async def _hand_over(it: Fleet, name: str, count: int, forced: bool, found: HandOver) -> None:
    it.balancer.only(name)
    calls = []
    long = model((script.Say(ANSWERS[0]),), (script.Say(LONG_ANSWER),))
    for number in range(count):
        if forced:
            steps = [*greeted(), *questions(1), Say(QUESTIONS[1]), WaitAgentDone(2_500), HangUp()]
            calls.append(await it.ring(*steps, model=long))
        else:
            steps = [*greeted(), WaitSeconds(number % 10 * 0.3), *questions(_TURNS, pause_s=1.0)]
            calls.append(await it.ring(*steps, HangUp(), model=MODEL))
        await asyncio.sleep(0.05)
    await asyncio.gather(*(call.until_answers(2) for call in calls))
    if forced:
        await until(lambda: all(call.agent_is_heard() for call in calls), timeout_s=15)
        await asyncio.sleep(random.uniform(0, _LATER_S))
    it.balancer.anyone()
    worker = it.workers[name]
    worker.terminate()
    if forced:
        await asyncio.sleep(0.2)
        worker.terminate()
    await worker.wait_gone(60)
    results = await asyncio.gather(*(call.wait(90) for call in calls))
    found.calls += count
    found.dropped += sum(not result.script_finished for result in results)
    for call, result in zip(calls, results, strict=True):
        known = call.known_turns()
        asked = QUESTIONS[: 1 if forced else _TURNS - 1]
        found.lost_turns += [text for text in asked if text not in known]
        for gap in result.stream_gaps:
            found.cut_ms.append(gap.cut_ms)
            found.deaf_ms.append(gap.deaf_s * 1000)
        # Where nothing was being said and nothing was cut off, no silence is heard.
        found.silent_ms += (
            _silent_ms(result) if forced else [gap.cut_ms for gap in result.stream_gaps]
        )
    await it.restart(name)


def _silent_ms(result: CallResult) -> list[float]:
    """How long the phone was silent between streams; a minute where nothing came any more."""
    return [60_000 if gap.silent_s is None else gap.silent_s * 1000 for gap in result.stream_gaps]


# -- both --------------------------------------------------------------------------------------


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    ordered = sorted(values)
    at = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95, 1))
    return " / ".join(f"{value:.0f}" for value in at)


async def measure(
    kind: str, *, kills: int, each: int, hand_overs: int, calls: int
) -> tuple[dict[str, Kill], dict[str, HandOver]]:
    """Kill workers, and have workers leave, one after the other."""
    killed = {sort: Kill() for sort in (SPEAKS, LISTENS, WAITS)}
    handed = {"at a safe point": HandOver(), "forced in an answer": HandOver()}
    with tempfile.TemporaryDirectory(prefix="evercall-bench-") as folder:
        async with fleet(Path(folder), kind=kind, workers=_WORKERS) as it:
            names = cycle(_WORKERS)
            for _ in range(kills):
                await _kill(it, next(names), each, killed)
            for _ in range(hand_overs):
                for (_, found), forced in zip(handed.items(), (False, True), strict=True):
                    await _hand_over(it, next(names), calls, forced, found)
    return killed, handed


def main() -> None:
    """Measure and print two tables."""
    parser = report.arguments("What a crash and a deploy cost", calls=10)
    parser.add_argument("--kills", type=int, default=10, help="workers killed")
    parser.add_argument("--each", type=int, default=2, help="calls of each sort at each of them")
    parser.add_argument("--hand-overs", type=int, default=3, help="workers that leave, each way")
    parser.add_argument("--database", choices=KINDS, default="postgresql")
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    random.seed(seed)
    load = report.Load()
    killed, handed = uvloop.run(
        measure(
            options.database,
            kills=options.kills,
            each=options.each,
            hand_overs=options.hand_overs,
            calls=options.calls,
        )
    )
    everything = Kill()
    for one in killed.values():
        everything.asked_ms += one.asked_ms
        everything.killed_ms += one.killed_ms
        everything.ended += one.ended
        everything.silent_ms += one.silent_ms
        everything.lost_turns += one.lost_turns
        everything.tool_runs += one.tool_runs
    rows: list[tuple[object, ...]] = [
        (
            name,
            len(one.asked_ms),
            _spread(one.asked_ms),
            _spread(one.killed_ms),
            _spread(one.silent_ms),
            one.ended,
            len(one.lost_turns),
            max(one.tool_runs, default=0),
        )
        for name, one in [*killed.items(), ("all", everything)]
    ]
    handed_rows: list[tuple[object, ...]] = [
        (
            name,
            len(one.deaf_ms),
            one.dropped,
            _spread(one.silent_ms),
            _spread(one.cut_ms),
            _spread(one.deaf_ms),
            len(one.lost_turns),
        )
        for name, one in handed.items()
    ]
    text = [
        f"Killed while ...; {options.database}, {options.kills} kills, {3 * options.each} calls "
        f"each, {RESUME_S * 1000:.0f} ms to resume; ms: p50 / p95 / max",
        "",
        report.table(
            (
                "",
                "calls",
                "heard again, from Twilio's request",
                "from the kill",
                "gap heard in the answer",
                "calls ended",
                "turns lost",
                "tool runs, most",
            ),
            rows,
        ),
        "",
        f"Handed over, {options.hand_overs} workers with {options.calls} calls each way; ms",
        "",
        report.table(
            ("", "hand-overs", "dropped", "gap heard", "cut off", "caller unheard", "turns lost"),
            handed_rows,
        ),
        "",
        f"Allowed: heard again within {ALLOWED_AGAIN_MS:.0f} ms at p95; a gap of 0 ms at a safe "
        f"point, {ALLOWED_FORCED_MS:.0f} ms when forced. Seed {seed}.",
        str(load),
    ]
    results: dict[str, Any] = {
        **{name: asdict(one) for name, one in killed.items()},
        **{name: asdict(one) for name, one in handed.items()},
        "seed": seed,
    }
    report.publish("takeover_gap", results, "\n".join(text), options.json)


if __name__ == "__main__":
    report.run(main)
