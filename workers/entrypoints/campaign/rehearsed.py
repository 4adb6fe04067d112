"""``evercall campaign rehearse``: the campaign as if it ran now, without a single call.

Every waiting contact is decided about as a tick would, with the suppression list and the attempts
so far, and the campaign taken as running. What follows from that, when it ends and what it costs,
is an estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import typer
from sqlalchemy import Engine

from workers.campaign.compliance import Call, Check, Decision, Later, Never, Stage, decide, explain
from workers.campaign.estimate import Estimate, Pool, estimate
from workers.campaign.model import Campaign, CampaignState, ContactState
from workers.dialling.finishing import UNREADABLE
from workers.entrypoints.campaign.opened import plural, read_campaign
from workers.store.campaigns.claims import DueContact, waiting_contacts
from workers.store.campaigns.contacts import count_errors, counts
from workers.store.campaigns.figures import ReasonCount, reasons
from workers.store.campaigns.readable import UnreadableContact
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.switches import stopped
from workers.store.database import reading

PAGE = 2_000
_GRAIN_S = 300
"""Contacts that are due within the same five minutes are one pool."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What nobody can know beforehand."""

    talk_s: float = 60.0
    """Mean length of an answered call."""
    answered: float = 0.5
    """Share of the calls that people or machines answer."""
    reached: float = 0.4
    """Share of the attempts that are the last of their contact."""
    price_per_minute: float | None = None
    currency: str = "USD"


@dataclass(slots=True)
class Rehearsal:
    """What the waiting contacts come to."""

    now: int = 0
    later: int = 0
    never: int = 0
    first_later: datetime | None = None
    """The earliest moment at which one of those may be called, UTC."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """``later`` or ``never``, and a sentence."""
    pools: Counter[tuple[tuple[str, ...], datetime, int]] = field(default_factory=Counter)
    """By zones, when they are due, and attempts made."""


def run_rehearse(engine: Engine, name: str, *, assumed: Assumed, now: datetime) -> None:
    """Print what a campaign would come to; nothing is changed, and nobody is dialled."""
    campaign = read_campaign(engine, name)
    rehearsal = rehearse(engine, campaign, now)
    with reading(engine) as connection:
        states = counts(connection, campaign.campaign_id)
        aside = count_errors(connection, campaign.campaign_id)
        why = [
            each
            for each in reasons(connection, campaign.campaign_id)
            if each.state in (ContactState.NEVER, ContactState.EXHAUSTED)
        ]
        stop = stopped(connection)
    for line in told(campaign, rehearsal, states, why, aside):
        typer.echo(line)
    guessed = guess(campaign, rehearsal, assumed, now)
    for line in told_of_estimate(campaign.definition, guessed, assumed):
        typer.echo(line)
    if stop is not None:
        typer.echo("All calls are stopped at present: evercall allow-all takes that back.")


def rehearse(engine: Engine, campaign: CampaignRow, now: datetime) -> Rehearsal:
    """Decide about every waiting contact, in bounded memory, a page at a time."""
    done, after = Rehearsal(), 0
    plain: dict[tuple[str, ...], Decision] = {}
    while True:
        with reading(engine) as connection:
            found = waiting_contacts(
                connection, campaign.campaign_id, after_id=after, limit=PAGE, now=now
            )
        if not found:
            return done
        for one in found:
            if isinstance(one, UnreadableContact):
                done.never += 1
                done.reasons["never", UNREADABLE] += 1
                continue
            zones = one.contact.zones
            if not _is_plain(campaign.definition, one):
                decision = decide(_check(campaign.definition, one), now)
            elif zones in plain:
                decision = plain[zones]
            else:
                decision = plain[zones] = decide(_check(campaign.definition, one), now)
            _add(done, one, decision, now)
        after = found[-1].contact_id


def guess(campaign: CampaignRow, rehearsal: Rehearsal, assumed: Assumed, now: datetime) -> Estimate:
    """When it would be finished, and what it would take."""
    definition = campaign.definition
    return estimate(
        [
            Pool(zones, due_at, many, made)
            for (zones, due_at, made), many in rehearsal.pools.items()
        ],
        definition.pace,
        hours=definition.hours,
        now=now,
        talk_s=assumed.talk_s,
        answer_share=assumed.answered,
        attempts=definition.attempts,
        reached_share=assumed.reached,
        ring_s=definition.ring_s,
        ends_on=definition.ends_on,
        started_at=campaign.started_at if campaign.state is CampaignState.RUNNING else None,
        price_per_minute=assumed.price_per_minute,
    )


def told(
    campaign: CampaignRow,
    rehearsal: Rehearsal,
    states: Mapping[ContactState, int],
    why: list[ReasonCount],
    aside: int,
) -> Iterator[str]:
    """The lines on contacts; no phone number is in them."""
    yield f"Campaign {campaign.name}, {campaign.state}, as if it ran now. Nobody is dialled."
    at = rehearsal.first_later
    when = "" if at is None else f" (from {_moment(at)})"
    never = rehearsal.never + states[ContactState.NEVER] + states[ContactState.EXHAUSTED]
    yield f"callable now {rehearsal.now:,}, later {rehearsal.later:,}{when}, never {never:,}"
    for (kind, sentence), many in rehearsal.reasons.most_common():
        yield f"  {many:8,}  {kind:5}  {sentence}"
    for each in why:
        yield f"  {each.contacts:8,}  never  {each.reason}"
    for state, words in (
        (ContactState.IN_HAND, "in hand"),
        (ContactState.DONE, "done"),
        (ContactState.CANCELLED, "cancelled"),
    ):
        if states[state]:
            yield f"  {states[state]:8,}  {words}"
    if aside:
        yield (
            f"{plural(aside, 'row')} of the file kept aside as no contacts: "
            f"evercall campaign errors {campaign.name}"
        )


def told_of_estimate(campaign: Campaign, guessed: Estimate, assumed: Assumed) -> Iterator[str]:
    """The lines on time and money, and what they rest on."""
    if guessed.finish_at is not None:
        yield f"finished about {_moment(guessed.finish_at)}"
    else:
        left = f", {guessed.left_over:,.0f} contacts left over" if guessed.left_over else ""
        yield f"not finished: {guessed.reason}{left}"
    cost = "" if guessed.cost is None else f", {guessed.cost:,.2f} {assumed.currency}"
    yield f"about {guessed.dials:,.0f} dials, {guessed.minutes:,.0f} billed minutes{cost}"
    pace = campaign.pace
    yield (
        f"Assumed: {assumed.answered:.0%} of the dials are answered and last "
        f"{assumed.talk_s:g} s each; {assumed.reached:.0%} are the last of their contact; "
        f"it rings {campaign.ring_s:g} s; {pace.calls_per_second:g} calls per second, "
        f"{pace.calls_at_once:,} at once after the ramp, and enough workers for them; "
        "no other campaign, no pause; contacts with one number do not wait for each other."
    )
    if assumed.price_per_minute is None:
        yield "For the cost, give --price-per-minute."


def _is_plain(campaign: Campaign, one: DueContact) -> bool:
    """Whether nothing but its zones matters, as with most contacts."""
    contact = one.contact
    return (
        not contact.attempts
        and contact.not_before is None
        and not one.recent
        and one.suppressed is None
        and (one.consent or not campaign.consent_required)
    )


def _add(done: Rehearsal, one: DueContact, decision: Decision, now: datetime) -> None:
    contact = one.contact
    match decision:
        case Call():
            done.now += 1
            done.pools[contact.zones, now, contact.attempts] += 1
        case Later(at, reason):
            done.later += 1
            done.reasons["later", reason.sentence] += 1
            if at is None:
                return
            if done.first_later is None or at < done.first_later:
                done.first_later = at
            done.pools[contact.zones, _grained(at), contact.attempts] += 1
        case Never():
            done.never += 1
            done.reasons["never", explain(decision)] += 1


def _check(campaign: Campaign, one: DueContact) -> Check:
    # Whoever is being called is free again in minutes: it is hours and days that are asked about.
    free = replace(one, being_called=False)
    return free.check(Stage.SCHEDULING, campaign, CampaignState.RUNNING)


def _grained(at: datetime) -> datetime:
    """Never earlier."""
    over_s = at.timestamp() % _GRAIN_S
    return at + timedelta(seconds=_GRAIN_S - over_s) if over_s else at


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
