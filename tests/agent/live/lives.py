"""Lifecycles in the states that tests begin from."""

from __future__ import annotations

import array

from agent import events
from agent.audio import PcmChunk
from agent.commands import Command, ToolResponse
from agent.conversation.prompt import Opening
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.move import ReportMove
from agent.live.session_events import CaughtUp, Opened, SessionEvent, Started
from agent.live.state import State
from agent.spec import AgentSpec, Limits, Moves

CALL = events.FunctionCall("id-1", "order_status", {"order_number": "7"})
ANSWER = ToolResponse("id-1", "order_status", {"output": "ready"})
AUDIO = events.AudioReceived(PcmChunk(b"\0\x10" * 240, 24_000))
SILENT_AUDIO = events.AudioReceived(PcmChunk(bytes(480), 24_000))
GREETING = PcmChunk(bytes(1_600), 8_000)
MODEL = "gemini-3.8-live"
LOUD = array.array("h", [3_000, -3_000] * 160).tobytes()
QUIET = bytes(640)


def lifecycle(
    opening: Opening | None = None,
    model: str = MODEL,
    *,
    moves: Moves | None = None,
    limits: Limits | None = None,
    transfer: dict[str, str] | None = None,
) -> Lifecycle:
    return Lifecycle(
        spec=AgentSpec(
            name="bakery",
            system_instruction="Be kind.",
            model=model,
            moves=moves or Moves(),
            limits=limits or Limits(),
            transfer=transfer or {},
        ),
        opening=opening or Opening("Be kind."),
        profiles=lambda name: profile_for(name, vertexai=False),
        now=0.0,
    )


def serving(
    opening: Opening | None = None,
    model: str = MODEL,
    *,
    moves: Moves | None = None,
    limits: Limits | None = None,
    transfer: dict[str, str] | None = None,
) -> Lifecycle:
    """A session whose first connection came up at once and has all the caller said."""
    life = lifecycle(opening, model, moves=moves, limits=limits, transfer=transfer)
    life.receive(Started(), 0.0)
    life.receive(Opened(1), 0.0)
    life.receive(CaughtUp(), 0.0)
    assert life.state is State.SERVING
    return life


def speak(life: Lifecycle, now: float, ms: int, *, pcm: bytes = LOUD) -> list[SessionEvent]:
    """Let the caller be heard from ``now`` on, in frames of 20 ms, and return what it showed."""
    shown: list[SessionEvent] = []
    for at in range(20, ms + 1, 20):
        event = life.hear(pcm, now + at / 1000)
        if event is not None:
            shown.append(event)
            life.receive(event, now + at / 1000)
    return shown


def ask(life: Lifecycle, now: float, ms: int = 1_000) -> float:
    """Let the caller say something and fall silent; return when that is known."""
    speak(life, now, ms)
    speak(life, now + ms / 1000, 620, pcm=QUIET)
    return now + (ms + 620) / 1000


def take_all(life: Lifecycle) -> bytes:
    """Send what is not held."""
    return b"".join(iter(lambda: life.tape.take(1_000), b""))


def run(
    life: Lifecycle, now: float, until: float, *, pending_ms: float = 0.0
) -> list[tuple[float, SessionEvent, list[Command | ReportMove]]]:
    """Let time pass, and return what it brought: when, what, and what was commanded."""
    brought: list[tuple[float, SessionEvent, list[Command | ReportMove]]] = []
    for _ in range(10_000):
        event = life.tick(now, pending_ms=pending_ms)
        if event is not None:
            brought.append((now, event, life.receive(event, now)))
            continue
        if life.end is not None or life.deadline > until:
            return brought
        now = max(now + 0.001, life.deadline)
    raise AssertionError("time brings events without end")
