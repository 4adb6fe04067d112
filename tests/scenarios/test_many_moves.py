"""Twenty calls lose their Live connections at the same moment, as in a restart of the far end.

The callers and the model speak in numbers (``workers/twin/position_code.py``), so that each 20 ms
can be told at the other end: what was lost, doubled, or meant for somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.conversation.record import CallRecord, MoveCause, MoveKind
from agent.spec import AgentSpec
from tests.fakes.network import Network
from tests.scenarios.rig import Rig, bakery, evercall, lost_ms, until
from workers.twin import phone_audio
from workers.twin.caller import HangUp, Speak, Step, WaitAgentDone, WaitSeconds, WaitStream
from workers.twin.live_api import script
from workers.twin.live_api.faults import Fault, RefuseUpgrade
from workers.twin.live_api.script import LiveScript, TextRule
from workers.twin.live_api.session_log import SessionLog
from workers.twin.position_code import FRAME_MS, decode
from workers.twin.twilio_api.result import CallResult

CALLS = 20
GREETING, BEGINNING, REST, LINE = 25, 50, 40, 100
"""Frames of what the model says: an answer, and one that is cut off with what follows it."""
LOUD_RMS = 600


@dataclass(frozen=True, slots=True)
class Person:
    """One caller, and the numbers of what the model says to them and to nobody else."""

    index: int

    @property
    def phone(self) -> str:
        return f"+155501002{self.index:02}"

    def numbers(self, offset: int, frames: int) -> range:
        first = 1_000 + 400 * self.index + offset
        return range(first, first + frames)

    @property
    def greeting(self) -> range:
        return self.numbers(0, GREETING)

    @property
    def beginning(self) -> range:
        return self.numbers(50, BEGINNING)

    @property
    def rest(self) -> range:
        return self.numbers(150, REST)

    @property
    def line(self) -> range:
        return self.numbers(250, LINE)

    @property
    def doing(self) -> str:
        """What they do when the connections are lost."""
        return ("listens", "speaks", "waits")[self.index % 3]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What they say last is of another length for everybody."""
        meanwhile: dict[str, tuple[Step, ...]] = {
            "listens": (Speak(500), WaitSeconds(10.0)),
            "speaks": (WaitSeconds(0.5), Speak(5_000), WaitSeconds(5.0)),
            "waits": (WaitSeconds(10.5),),
        }
        return (
            WaitStream(60),
            WaitAgentDone(1_000),
            *meanwhile[self.doing],
            Speak(600 + 2 * FRAME_MS * self.index),
            WaitAgentDone(2_000),
            HangUp(),
        )


PEOPLE = [Person(index) for index in range(CALLS)]


def spec() -> AgentSpec:
    return bakery(system_instruction="You talk to {{ caller }}.")


def model(number: int, setup: dict[str, Any]) -> LiveScript:
    """Every answer to a caller is their line; there are no turns, which all would share.

    On their first connection it stops in the middle, for longer than the connection lives.
    """
    text = setup["systemInstruction"]["parts"][0]["text"]
    person = next(person for person in PEOPLE if person.phone in text)
    answer = (
        (coded(person.beginning), script.Wait(30), coded(person.rest))
        if number <= CALLS
        else (coded(person.line),)
    )
    return LiveScript(
        opening=(coded(person.greeting),),
        texts=(TextRule("were cut off", (coded(person.rest),)),),
        otherwise=answer,
        answer_delay_s=0.1,
    )


def coded(numbers: range) -> script.Say:
    return script.Say(f"coded:{numbers.start}:{len(numbers) * FRAME_MS}")


@pytest.mark.alone
@pytest.mark.parametrize(
    "faults",
    [(), (RefuseUpgrade(sessions=frozenset(range(CALLS + 1, CALLS + 9)), status=503),)],
    ids=["all_dials_taken", "eight_dials_refused"],
)
async def test_twenty_calls_that_lose_their_connections_at_once_go_on(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    """Each moves once and loses nothing; whatever it hears or says stays its own."""
    async with (
        Network() as network,
        evercall(tmp_path, model, agent=spec(), faults=faults, network=network) as rig,
    ):
        calls = asyncio.gather(
            *(
                rig.call(*person.steps, from_=person.phone, coded=True, timeout_s=60)
                for person in PEOPLE
            )
        )
        await until(lambda: all_are_in_the_middle_of_it(rig), timeout_s=40)
        # A reset drops what is on its way; the beginnings of answers are to have arrived.
        await asyncio.sleep(0.7)
        assert network.cut() == CALLS
        results = await calls
        connections = {person: connections_of(rig, person) for person in PEOPLE}
        dials, refused = len(rig.live.sessions) + len(rig.live.refusals), len(rig.live.refusals)
        assert rig.metric("evercall_move_tries_count") == CALLS
        assert rig.metric("evercall_move_tries_sum") == dials - CALLS
        failed = [line["detail"] for line in rig.logged("live.connect_failed")]
    assert refused == (8 if faults else 0)
    for person, (result, record) in zip(PEOPLE, results, strict=True):
        assert_moved_once(record, failed)
        assert_hears_only_their_own(person, result)
        assert_is_heard_whole(result, connections[person])


def all_are_in_the_middle_of_it(rig: Rig) -> bool:
    return all(
        any(is_in_the_middle(person, log) for log in connections_of(rig, person))
        for person in PEOPLE
    )


def is_in_the_middle(person: Person, log: SessionLog) -> bool:
    match person.doing:
        case "listens":
            return len(log.said) == 2 and log.said[-1].audio_ms == BEGINNING * FRAME_MS
        case "speaks":
            return len(log.noted("speech_started")) == 1 and not log.noted("speech_ended")
        case _:
            return bool(log.handles)


def connections_of(rig: Rig, person: Person) -> list[SessionLog]:
    """Those that came up; one that was refused its handle has heard nothing."""
    return [
        log
        for log in rig.live.sessions
        if person.phone in log.system_instruction and log.ready_at is not None
    ]


def assert_moved_once(record: CallRecord, failed: list[str]) -> None:
    (move,) = record.moves
    assert move.cause is MoveCause.LOST
    # A server that has not noticed the reset yet refuses the handle, and the next session is new.
    lingered = any("1011" in detail for detail in failed)
    assert move.kind is MoveKind.RESUME or (lingered and move.kind is MoveKind.REFILL), failed
    assert move.tries <= 3
    # On an idle machine 0.3 s.
    assert move.gap_ms < 5_000
    assert move.done_s - move.left_s < 5
    assert lost_ms(record) == 0
    assert len(record.streams) == 1


def assert_hears_only_their_own(person: Person, result: CallResult) -> None:
    # A starved machine lets a frame be played in two halves, which no longer say their number.
    heard = runs((found.code for found in result.heard_codes()), missing=2)
    expected = {
        "listens": (person.greeting, person.beginning, person.rest, person.line),
        "speaks": (person.greeting, person.line, person.line),
        "waits": (person.greeting, person.line),
    }
    assert heard == [(said.start, said.stop - 1) for said in expected[person.doing]]


def assert_is_heard_whole(result: CallResult, connections: list[SessionLog]) -> None:
    """Every frame is on one of both connections, in order, with nobody else's between them."""
    before, after = (log.codes() for log in connections)
    for codes in (before, after):
        assert codes == list(range(codes[0], codes[-1] + 1))
    # The last ones before the cut are said again, for they may not have been heard.
    assert after[0] <= before[-1] + 1
    spoken = loud(phone_audio.to_pcm(result.spoken), phone_audio.RATE_HZ)
    heard = set().union(*(loud(log.caller_audio, log.audio_rate_hz) for log in connections))
    # Of a length that nobody else has, at the end.
    assert runs(sorted(heard)) == runs(sorted(spoken))


def loud(pcm: bytes, rate_hz: int) -> set[int]:
    """Numbers of the frames that are speech."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2").astype(float)
    size = rate_hz * FRAME_MS // 1000
    numbers: set[int] = set()
    for found in decode(pcm[: len(pcm) & ~1], rate_hz=rate_hz):
        start = max(0, round(found.at_ms * rate_hz / 1000))
        if np.sqrt(np.mean(samples[start : start + size] ** 2)) >= LOUD_RMS:
            numbers.add(found.code)
    return numbers


def runs(codes: Iterable[int], *, missing: int = 0) -> list[tuple[int, int]]:
    """Join numbers that follow each other, but for some, to the first and the last of them."""
    joined: list[tuple[int, int]] = []
    for code in codes:
        if joined and 1 <= code - joined[-1][1] <= 1 + missing:
            joined[-1] = (joined[-1][0], code)
        else:
            joined.append((code, code))
    return joined
