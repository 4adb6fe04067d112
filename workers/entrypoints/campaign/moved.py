"""``evercall campaign start``, ``pause``, ``resume``, ``cancel`` and ``canary``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType

import typer
from sqlalchemy import Connection, Engine

from workers.campaign.model import CampaignState, ContactState
from workers.dialling.transactions import write
from workers.entrypoints.campaign.opened import Failed, campaign_named, plural
from workers.store.campaigns.campaigns import cancel_waiting, move
from workers.store.campaigns.contacts import counts
from workers.store.campaigns.figures import under_way
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.switches import stopped

_S = CampaignState
# What an operator may do in which state; ``model.CAMPAIGN_MOVES`` says the same without the words.
POSSIBLE: Mapping[CampaignState, Mapping[str, CampaignState]] = MappingProxyType(
    {
        _S.DRAFT: {"start": _S.RUNNING, "canary": _S.CANARY, "cancel": _S.CANCELLED},
        _S.CANARY: {"start": _S.RUNNING, "pause": _S.PAUSED, "cancel": _S.CANCELLED},
        _S.RUNNING: {"pause": _S.PAUSED, "cancel": _S.CANCELLED},
        _S.PAUSED: {"resume": _S.RUNNING, "canary": _S.CANARY, "cancel": _S.CANCELLED},
        _S.FINISHED: {"start": _S.RUNNING, "cancel": _S.CANCELLED},
        _S.CANCELLED: {},
    }
)
# Where asking again does no harm, and is no mistake either.
_THERE = {"start": _S.RUNNING, "resume": _S.RUNNING, "pause": _S.PAUSED, "cancel": _S.CANCELLED}


@dataclass(frozen=True, slots=True)
class Moved:
    """What has become of a campaign."""

    campaign: CampaignRow
    changed: bool
    """False: it was there already."""
    waiting: int
    """Contacts still to be called."""
    calls: int
    """In progress; they are not broken off."""
    stopped: str | None
    """Why nobody is dialled for any campaign; None: it is not so."""


def run_move(
    engine: Engine, name: str, verb: str, *, reason: str, canary: int | None, now: datetime
) -> None:
    """Do what ``verb`` says and print what has become of the campaign.

    Raises:
        Failed: it is not possible; says what is.
    """
    done = write(engine, partial(_move, name, verb, reason, canary, now))
    campaign = done.campaign
    if campaign.state is CampaignState.CANCELLED:
        while write(engine, partial(cancel_waiting, campaign_id=campaign.campaign_id, now=now)):
            pass
    for line in told(done):
        typer.echo(line)


def told(done: Moved) -> list[str]:
    """The lines for the operator."""
    campaign = done.campaign
    already = "" if done.changed else "already "
    lines = [f"Campaign {campaign.name} is {already}{campaign.state}."]
    if campaign.state.dials:
        if campaign.canary_left is not None:
            lines.append(f"It pauses by itself after {plural(campaign.canary_left, 'contact')}.")
        lines.append(f"{plural(done.waiting, 'contact')} waiting to be called.")
        if done.stopped is not None:
            why = f" ({done.stopped})" if done.stopped else ""
            lines.append(f"All calls are stopped{why}: nobody is dialled before allow-all.")
    elif done.calls:
        are = "is" if done.calls == 1 else "are"
        lines.append(f"{plural(done.calls, 'call')} {are} still in progress and will finish.")
    return lines


def _move(
    name: str,
    verb: str,
    reason: str,
    canary: int | None,
    now: datetime,
    connection: Connection,
) -> Moved:
    campaign = campaign_named(connection, name)
    to = POSSIBLE[campaign.state].get(verb)
    changed = to is not None
    if to is None and _THERE.get(verb) is not campaign.state:
        raise Failed(_impossible(campaign, verb))
    if to is not None:
        waiting = counts(connection, campaign.campaign_id)
        if to.dials and not waiting[ContactState.WAITING] + waiting[ContactState.IN_HAND]:
            raise Failed(
                f"Campaign {campaign.name} has nobody left to call: import contacts first."
            )
        campaign = move(
            connection, campaign.campaign_id, to, now=now, reason=reason.strip(), canary=canary
        )
    return Moved(
        campaign,
        changed,
        counts(connection, campaign.campaign_id)[ContactState.WAITING],
        sum(under_way(connection, campaign.campaign_id).values()),
        stopped(connection),
    )


def _impossible(campaign: CampaignRow, verb: str) -> str:
    verbs = [f"campaign {each}" for each in POSSIBLE[campaign.state]]
    possible = f"possible are {', '.join(verbs)}" if verbs else "nothing leads out of that"
    return f"Campaign {campaign.name} is {campaign.state}, so {verb} is not possible; {possible}."
