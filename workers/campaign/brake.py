"""When a campaign stops by itself: shares of its newest calls against the limits of its file.

The caller hands in what has ended, newest first, of this campaign since it was last started or
resumed: whoever resumes has seen why it stopped, and it must not stop again for the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from workers.campaign.model import BrakeLimits, LineOutcome

OFFENDERS = 10
"""So many of the newest are named: enough to look at, and to fit a page and a log line."""

Measure = Literal["blocked", "abandoned", "opted_out", "failed"]

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


def judge(samples: Sequence[Sample], limits: BrakeLimits) -> Tripped | None:
    """The first limit that the newest calls have reached, or None.

    What harms most is looked at first: blocks, abandoned calls, opt-outs, failures.

    Args:
        samples: Newest first. Abandoned calls are a share of the calls a person answered (16 CFR
            310.4(b)(4)(i)), and as many of these are looked at as of all calls for the rest; so
            hand in more than ``limits.calls``, or they are judged late or never.
        limits: Of the campaign's file. A share that equals its limit trips, but never one of 0:
            a limit of 0 stands for the first such call.
    """
    newest = samples[: limits.calls]
    people = list(islice((one for one in samples if one.human), limits.calls))
    return (
        _over(
            "blocked",
            newest,
            lambda one: one.blocked,
            limits.blocked,
            limits.at_least,
            "calls were blocked by the carrier",
        )
        or _over(
            "abandoned",
            people,
            lambda one: one.abandoned,
            limits.abandoned,
            limits.at_least,
            "calls that a person answered had nobody speak within 2 s",
        )
        or _over(
            "opted_out",
            newest,
            lambda one: one.opted_out,
            limits.opted_out,
            limits.at_least,
            "calls ended with an opt-out",
        )
        or _over(
            "failed",
            newest,
            lambda one: one.failed,
            limits.failed,
            limits.at_least,
            "calls failed",
        )
    )


def _over(
    measure: Measure,
    seen: Sequence[Sample],
    offends: Callable[[Sample], bool],
    limit: float | None,
    at_least: int,
    what: str,
) -> Tripped | None:
    if limit is None or not seen or len(seen) < at_least:
        return None
    offenders = _ids(one for one in seen if offends(one))
    share = len(offenders) / len(seen)
    if not offenders or share < limit:
        return None
    reason = (
        f"{len(offenders)} of the last {len(seen)} {what}: "
        f"{_percent(share)}, and the limit is {_percent(limit)}."
    )
    return Tripped(measure, reason, share, limit, offenders[:OFFENDERS])


def _ids(samples: Iterable[Sample]) -> tuple[int, ...]:
    return tuple(one.attempt_id for one in samples)


def _percent(share: float) -> str:
    """``3.3 %``; without a decimal where there is nothing behind the point."""
    return f"{share * 100:.1f}".removesuffix(".0") + " %"
