"""All figures of one campaign as of one moment, for its report and for ``campaign show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from workers.campaign.brake import Measured
from workers.campaign.model import LineOutcome
from workers.store.campaigns import braking, figures, series
from workers.store.campaigns.braking import Offender
from workers.store.campaigns.events import CampaignEvent, events
from workers.store.campaigns.figures import ReasonCount, RowErrorCount, Standing
from workers.store.campaigns.reported import Reported, reported
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.series import AnswerRates, Lengths

MOST_BUCKETS = 96
"""As many bars as can be told apart on a page: four days of hours."""
_WIDTHS_S = (1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)


@dataclass(frozen=True, slots=True)
class Overview:
    """How a campaign stands, and what it did so far."""

    campaign: CampaignRow
    at: datetime
    """When it was looked at."""
    standing: Standing
    reasons: Sequence[ReasonCount]
    under_way: Mapping[str, int]
    """Attempts that may be calls now, by Twilio's status."""
    outcomes: Mapping[LineOutcome, int]
    brake: Sequence[Measured]
    offenders: Mapping[int, Offender]
    """Those that the events name, and those that the brake counts now; by attempt."""
    events: Sequence[CampaignEvent]
    row_errors: int
    commonest_errors: Sequence[RowErrorCount]
    every: timedelta
    """Width of the buckets in ``over_time`` and ``dials``."""
    over_time: Mapping[datetime, Mapping[LineOutcome, int]]
    dials: Mapping[datetime, int]
    """Calls asked of Twilio; buckets without any are left out."""
    rates: AnswerRates
    lengths: Lengths
    reported: Sequence[Reported] = ()
    """By the agents, in the order of the campaign's file."""

    @property
    def settled(self) -> int:
        """Attempts whose outcome is known."""
        return sum(self.outcomes.values())


def overview(connection: Connection, campaign: CampaignRow, *, now: datetime) -> Overview:
    """Count everything; some seconds for a million contacts.

    Args:
        connection: All within one transaction, which sees one moment (``reading``).
        campaign: As it was just read.
        now: When that is.
    """
    number = campaign.campaign_id
    dialled = series.dialled_between(connection, number)
    every = bucket_width(dialled[1] - dialled[0] if dialled else timedelta())
    shares = braking.shares(connection, number, campaign.definition.brake, campaign.started_at)
    done = events(connection, number)
    total, commonest = figures.row_errors(connection, number)
    wanted = {attempt for event in done for attempt in named_offenders(event)}
    wanted |= {attempt for one in shares if one.reached for attempt in one.offenders}
    return Overview(
        campaign=campaign,
        at=now,
        standing=figures.standing(connection, number),
        reasons=figures.reasons(connection, number),
        under_way=figures.under_way(connection, number),
        outcomes=figures.outcomes(connection, number),
        brake=shares,
        offenders={one.attempt_id: one for one in braking.offenders(connection, sorted(wanted))},
        events=done,
        row_errors=total,
        commonest_errors=commonest,
        every=every,
        over_time=series.outcomes_over_time(connection, number, every=every),
        dials=(series.starts(connection, number, since=dialled[0], every=every) if dialled else {}),
        rates=series.answer_rates(connection, number),
        lengths=series.lengths(connection, number),
        reported=reported(connection, number, campaign.definition.outcome),
    )


def bucket_width(span: timedelta) -> timedelta:
    """The narrowest bucket of which ``MOST_BUCKETS`` cover a span of time; a week at the widest."""
    for width_s in _WIDTHS_S:
        if span.total_seconds() < width_s * MOST_BUCKETS:
            return timedelta(seconds=width_s)
    return timedelta(seconds=_WIDTHS_S[-1])


def named_offenders(event: CampaignEvent) -> tuple[int, ...]:
    """The attempts that an event names, if any."""
    named = event.detail.get("offenders")
    return tuple(one for one in named if isinstance(one, int)) if isinstance(named, list) else ()
