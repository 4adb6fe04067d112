"""When a campaign stops by itself: shares of its newest calls against the limits of its file.

The caller hands in what has ended, newest first, of this campaign since it was last started or
resumed: whoever resumes has seen why it stopped, and it must not stop again for the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Literal

from workers.campaign.model import BrakeLimits, LineOutcome

OFFENDERS = 10
"""So many of the newest are named: enough to look at, and to fit a page and a log line."""

Measure = Literal["blocked", "abandoned", "opted_out", "failed"]

_WORDS: Mapping[Measure, str] = MappingProxyType(
    {
        "blocked": "calls were blocked by the carrier",
        "abandoned": "calls that a person answered had nobody speak within 2 s",
        "opted_out": "calls ended with an opt-out",
        "failed": "calls failed",
    }
)
_FAILED = frozenset({LineOutcome.FAILED, LineOutcome.BAD_NUMBER, LineOutcome.NOT_PLACED})
_PERSON = frozenset({LineOutcome.HUMAN, LineOutcome.OPTED_OUT})


@dataclass(frozen=True, slots=True)
class Sample:
    """One ended attempt, as far as the brake looks at it."""

    attempt_id: int
    human: bool = False
    """A person answered."""
    failed: bool = False
    """There was no call, for a reason that is not the callee's."""
    abandoned: bool = False
    """A person answered and heard nobody within 2 s; says nothing of calls without a person."""
    blocked: bool = False
    """The carrier does not put our number through."""
    opted_out: bool = False


def sample(attempt_id: int, outcome: LineOutcome, *, abandoned: bool = False) -> Sample | None:
    """What the brake sees of an attempt; None: nothing, because we ended it ourselves.

    Numbers that cannot be dialled are failures too: a list full of them costs the numbers that
    call their reputation as much as anything. So are attempts Twilio did not take. Of those, leave
    out what ``refused`` only puts off: they say that there is no room at Twilio, not that
    something is wrong.

    Args:
        attempt_id: Of the attempt.
        outcome: How it ended.
        abandoned: Whether agent audio had not started 2 s after the callee's greeting.
    """
    if outcome is LineOutcome.CANCELED:
        return None
    return Sample(
        attempt_id,
        human=outcome in _PERSON,
        failed=outcome in _FAILED,
        abandoned=abandoned,
        blocked=outcome is LineOutcome.CARRIER_BLOCKED,
        opted_out=outcome is LineOutcome.OPTED_OUT,
    )


@dataclass(frozen=True, slots=True)
class Tripped:
    """Why a campaign is to be paused."""

    measure: Measure
    reason: str
    """A sentence with the share and the limit."""
    share: float
    limit: float
    offenders: tuple[int, ...]
    """Attempt ids, newest first, at most ``OFFENDERS``."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One share of the newest calls beside its limit."""

    measure: Measure
    seen: int
    """So many calls are looked at."""
    offenders: tuple[int, ...]
    """Attempt ids, newest first, all of them."""
    limit: float | None
    """None: not looked at."""
    at_least: int

    @property
    def share(self) -> float:
        """Of the calls that are looked at; 0 where there are none."""
        return len(self.offenders) / self.seen if self.seen else 0.0

    @property
    def judged(self) -> bool:
        """Whether there are enough calls, and a limit to hold them against."""
        return self.limit is not None and self.seen > 0 and self.seen >= self.at_least

    @property
    def reached(self) -> bool:
        """Whether the limit has been reached; one of 0 stands for the first such call."""
        return (
            self.limit is not None
            and self.judged
            and bool(self.offenders)
            and self.share >= self.limit
        )


def judge(samples: Sequence[Sample], limits: BrakeLimits) -> Tripped | None:
    """The first limit that the newest calls have reached, or None.

    Args:
        samples: As ``measure`` wants them.
        limits: Of the campaign's file. A share that equals its limit trips, but never one of 0:
            a limit of 0 stands for the first such call.
    """
    for one in measure(samples, limits):
        if one.reached and one.limit is not None:
            reason = (
                f"{len(one.offenders)} of the last {one.seen} {_WORDS[one.measure]}: "
                f"{_percent(one.share)}, and the limit is {_percent(one.limit)}."
            )
            return Tripped(one.measure, reason, one.share, one.limit, one.offenders[:OFFENDERS])
    return None


def measure(samples: Sequence[Sample], limits: BrakeLimits) -> tuple[Measured, ...]:
    """Every share of the newest calls beside its limit.

    What harms most comes first: blocks, abandoned calls, opt-outs, failures.

    Args:
        samples: Newest first. Abandoned calls are a share of the calls a person answered (16 CFR
            310.4(b)(4)(i)), and as many of these are looked at as of all calls for the rest; so
            hand in more than ``limits.calls``, or they are judged late or never.
        limits: Of the campaign's file.
    """
    newest = samples[: limits.calls]
    people = list(islice((one for one in samples if one.human), limits.calls))

    def of(
        name: Measure, seen: Sequence[Sample], offends: Callable[[Sample], bool], at: float | None
    ) -> Measured:
        offenders = tuple(one.attempt_id for one in seen if offends(one))
        return Measured(name, len(seen), offenders, at, limits.at_least)

    return (
        of("blocked", newest, lambda one: one.blocked, limits.blocked),
        of("abandoned", people, lambda one: one.abandoned, limits.abandoned),
        of("opted_out", newest, lambda one: one.opted_out, limits.opted_out),
        of("failed", newest, lambda one: one.failed, limits.failed),
    )


def _percent(share: float) -> str:
    """``3.3 %``; without a decimal where there is nothing behind the point."""
    return f"{share * 100:.1f}".removesuffix(".0") + " %"
