"""What a load test is to do: who calls, how many at once and when, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Persona(StrEnum):
    """What a simulated caller does until it is time to hang up."""

    TALK = "talk"
    """Asks, hears the answer out, asks again."""
    LISTEN = "listen"
    """Asks for something long and hears it out, then for the next."""
    INTERRUPT = "interrupt"
    """Asks, and speaks into each answer after a second or so of it."""
    SILENT = "silent"
    """Says nothing."""
    KEYS = "keys"
    """Presses keys in place of speaking."""
    EARLY = "early"
    """Hangs up in the middle of the greeting or of the first answer."""


class LineTrouble(StrEnum):
    """What is wrong with a caller's line, whoever calls."""

    NOISY = "noisy"
    """Hiss under everything, 30 dB below speech."""
    JITTER = "jitter"
    """Frames come in bursts: now and then some are withheld for 40 to 120 ms."""
    SLOW_READER = "slow_reader"
    """The far end of the media socket now and then reads nothing for 200 to 600 ms."""


class Profile(StrEnum):
    """How many calls there are at once, over time."""

    RAMP = "ramp"
    """From none to all within ``rise_s``, then as many for ``hold_s``."""
    STEPS = "steps"
    """``steps`` equal steps, each held for ``hold_s``."""
    SPIKE = "spike"
    """``base`` calls; in the middle ``calls`` for ``spike_s``; ``hold_s`` in all."""
    SOAK = "soak"
    """All from the beginning, for ``hold_s``; who hangs up is replaced."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many calls at once, over the test's time.

    Attributes:
        profile: Its shape.
        calls: Calls at once at its top.
        hold_s: See ``Profile``.
        rise_s: Of a ramp.
        steps: Of steps.
        base: Of a spike, calls before and after it.
        spike_s: Of a spike.
        calls_per_second: No more calls than this begin in a second, whatever the shape: a number
            of Twilio's takes no more either (inbound is not limited by Twilio; 10 is a busy one).
    """

    profile: Profile = Profile.RAMP
    calls: int = 10
    hold_s: float = 60.0
    rise_s: float = 10.0
    steps: int = 5
    base: int = 1
    spike_s: float = 20.0
    calls_per_second: float = 10.0


class Metric(StrEnum):
    """What is promised something about, as the caller has it."""

    FIRST_WORD_MS = "first_word_ms"
    """From the answer of the call to the first sound of the agent."""
    ANSWER_DELAY_MS = "answer_delay_ms"
    """From the end of the caller's speech to the first sound of the agent."""
    ADDED_DELAY_MS = "added_delay_ms"
    """That, less what the simulated model itself took; only where the Live side is the twin."""
    BARGE_IN_MS = "barge_in_ms"
    """From the beginning of the caller's speech into an answer to the end of that answer."""
    GAP_MS = "gap_ms"
    """Silence in the middle of an utterance: playout had run dry."""
    RESET_GAP_MS = "reset_gap_ms"
    """Silence because a Live connection was left, by the worker's own reset reports."""
    CALLER_FRAMES_LOST = "caller_frames_lost"
    """Frames of the caller that no model was sent, per thousand; only where the twin is."""
    AGENT_FRAMES_LOST = "agent_frames_lost"
    """Frames of the model in the middle of an utterance that no caller heard, per thousand."""
    REFUSED = "refused"
    """Calls that got no stream."""
    DROPPED = "dropped"
    """Calls that ended before their caller meant to."""


class Statistic(StrEnum):
    """Of the values of a metric."""

    P50 = "p50"
    P95 = "p95"
    P99 = "p99"
    MAX = "max"


COUNTED: Final = frozenset({Metric.REFUSED, Metric.DROPPED})
"""Metrics that are one number of the whole test."""
SHARES: Final = frozenset({Metric.CALLER_FRAMES_LOST, Metric.AGENT_FRAMES_LOST})
"""Metrics that are a share of all, in thousandths."""
TWIN_ONLY: Final = frozenset(
    {Metric.ADDED_DELAY_MS, Metric.CALLER_FRAMES_LOST, Metric.AGENT_FRAMES_LOST}
)
"""Metrics that nobody can tell where the Live side is the service: it numbers no frames."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold: the statistic of a metric is at most ``limit``.

    ``statistic`` is None for ``COUNTED`` and ``SHARES``.
    """

    metric: Metric
    statistic: Statistic | None
    limit: float

    @property
    def name(self) -> str:
        """As plans and reports write it: ``added_delay_ms.p95``."""
        return f"{self.metric}.{self.statistic}" if self.statistic else str(self.metric)


DEFAULT_PROMISES: Final = (
    Promise(Metric.ADDED_DELAY_MS, Statistic.P95, 30.0),
    Promise(Metric.GAP_MS, Statistic.MAX, 60.0),
    Promise(Metric.CALLER_FRAMES_LOST, None, 0.0),
    Promise(Metric.REFUSED, None, 0.0),
    Promise(Metric.DROPPED, None, 0.0),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the callers call.

    Attributes:
        voice_url: The webhook of the number; None: a worker of its own is started on this machine.
        to: The number that is called.
        processes: Of the worker of its own.
        agent: The agent's file of the worker of its own; None: the load test's.
    """

    voice_url: str | None = None
    to: str = "+15550100002"
    processes: int = 1
    agent: str | None = None


class LiveSide(StrEnum):
    """Who plays the model."""

    TWIN = "twin"
    SERVICE = "service"
    """The real one: it costs money, and what a model takes cannot be told from what we add. Also
    whatever it is that a worker somewhere else is connected to."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong meanwhile.

    Attributes:
        resets_every_s: Each Live connection is told to go so often (``goAway``); 0: never.
        breaks_every_s: Each Live connection is broken off without a word so often; 0: never.
        kills_every_s: A process of the worker of its own gets SIGKILL so often; 0: never.
    """

    resets_every_s: float = 0.0
    breaks_every_s: float = 0.0
    kills_every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One load test.

    Attributes:
        name: In reports.
        target: Where the callers call.
        live: Who plays the model.
        arrivals: How many calls, and when.
        call_s: How long a caller stays, unless they are ``EARLY``.
        personas: Weights of who calls.
        lines: Share of the callers whose line has a trouble, 0 to 1 each.
        faults: What goes wrong meanwhile.
        promises: What must hold; the first broken one ends a search for the capacity.
        seed: Of every choice.
    """

    name: str = "load test"
    target: Target = field(default_factory=Target)
    live: LiveSide = LiveSide.TWIN
    arrivals: Arrivals = field(default_factory=Arrivals)
    call_s: float = 60.0
    personas: Mapping[Persona, float] = field(
        default_factory=lambda: MappingProxyType({Persona.TALK: 1.0})
    )
    lines: Mapping[LineTrouble, float] = field(default_factory=lambda: MappingProxyType({}))
    faults: Faults = field(default_factory=Faults)
    promises: tuple[Promise, ...] = DEFAULT_PROMISES
    seed: int = 1
