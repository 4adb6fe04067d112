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
from tests.scenarios.rig import Rig, evercall, lost_ms, silent_agent, until
from workers.twin import phone_audio
from workers.twin.caller import HangUp, Speak, Step, WaitAgentDone, WaitSeconds, WaitStream
from workers.twin.live_api import script
from workers.twin.live_api.faults import Fault, RefuseUpgrade
from workers.twin.live_api.script import LiveScript, TextRule
from workers.twin.live_api.session_log import SessionLog
from workers.twin.position_code import FRAME_MS, decode
from workers.twin.twilio_api.result import CallResult

CALLS = 20
LINE, REST = 150, 40
"""Frames of an answer, and of what follows one that was cut off."""
LOUD_RMS = 600


@dataclass(frozen=True, slots=True)
class Person:
    """One caller, and the numbers of what the model says to them and to nobody else."""

    index: int

    @property
    def phone(self) -> str:
        return f"+155501002{self.index:02}"

    @property
    def line(self) -> range:
        first = 1_000 + 400 * self.index
        return range(first, first + LINE)

    @property
    def rest(self) -> range:
        return range(self.line.stop + 50, self.line.stop + 50 + REST)

    @property
    def doing(self) -> str:
        """What they do when the connections are lost."""
        return ("listens", "speaks", "waits")[self.index % 3]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Three times something to answer; the last one is of another length for everybody."""
        meanwhile: dict[str, tuple[Step, ...]] = {
            "listens": (Speak(500), WaitSeconds(7.5)),
            "speaks": (WaitSeconds(1.0), Speak(2_000), WaitSeconds(5.0)),
            "waits": (WaitSeconds(8.0),),
        }
        return (
            WaitStream(60),
            WaitSeconds(0.5),
            Speak(500),
            WaitSeconds(4.5),
            *meanwhile[self.doing],
            Speak(600 + 2 * FRAME_MS * self.index),
            WaitAgentDone(600),
            HangUp(),
        )


PEOPLE = [Person(index) for index in range(CALLS)]


def spec() -> AgentSpec:
    return silent_agent(system_instruction="You talk to {{ caller }}.")


def model(_number: int, setup: dict[str, Any]) -> LiveScript:
    """Every answer to a caller is their line; there are no turns, which all would share."""
    text = setup["systemInstruction"]["parts"][0]["text"]
    person = next(person for person in PEOPLE if person.phone in text)
    return LiveScript(
        texts=(TextRule("were cut off", (coded(person.rest),)),),
        otherwise=(coded(person.line),),
        answer_delay_s=0.1,
        # So slow that most of an answer is still to come in its middle.
        speed=1.2,
    )


def coded(numbers: range) -> script.Say:
    return script.Say(f"coded:{numbers.start}:{len(numbers) * FRAME_MS}")


@pytest.mark.parametrize(
    "faults",
    [(), (RefuseUpgrade(sessions=frozenset(range(CALLS + 1, CALLS + 9)), status=503),)],
    ids=["all_dials_taken", "eight_dials_refused"],
)
async def test_twenty_calls_that_lose_their_connections_at_once_go_on(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    """Each moves once and loses nothing; whatever it hears or says stays its own."""
    refused = CALLS + 8 if faults else CALLS
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
        await until(lambda: all_listeners_hear_their_second_answer(rig), timeout_s=40)
        await asyncio.sleep(0.5)
        assert network.cut() == CALLS
        results = await calls
        connections = {person: connections_of(rig, person) for person in PEOPLE}
        assert len(rig.live.sessions) == 2 * CALLS
        assert len(rig.live.refusals) == refused - CALLS
        assert rig.metric("evercall_move_tries_count") == CALLS
        assert rig.metric("evercall_move_tries_sum") == refused
    for person, (result, record) in zip(PEOPLE, results, strict=True):
        assert_moved_once(record)
        assert_hears_only_their_own(person, result)
        assert_is_heard_whole(result, connections[person])


def all_listeners_hear_their_second_answer(rig: Rig) -> bool:
    listeners = [person for person in PEOPLE if person.doing == "listens"]
    return all(
        any(len(log.said) == 2 for log in connections_of(rig, person)) for person in listeners
    )


def connections_of(rig: Rig, person: Person) -> list[SessionLog]:
    return [log for log in rig.live.sessions if person.phone in log.system_instruction]


def assert_moved_once(record: CallRecord) -> None:
    (move,) = record.moves
    assert (move.cause, move.kind) == (MoveCause.LOST, MoveKind.RESUME)
    assert move.tries <= 2
    # Short enough for no filler to be needed.
    assert "fillers" not in record.counters
    assert move.gap_ms < 1_500
    assert lost_ms(record) == 0
    assert len(record.streams) == 1


def assert_hears_only_their_own(person: Person, result: CallResult) -> None:
    # A starved machine lets a frame be played in two halves, which no longer say their number.
    heard = runs((found.code for found in result.heard_codes()), missing=2)
    whole = [(person.line.start, person.line.stop - 1)]
    if person.doing == "listens":
        first, cut, *others = heard
        assert cut[0] == person.line.start
        assert cut[1] < person.line.stop - 1
        assert [first, *others] == [
            *whole,
            (person.rest.start, person.rest.stop - 1),
            *whole,
        ]
    else:
        assert heard == whole * (3 if person.doing == "speaks" else 2)


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
