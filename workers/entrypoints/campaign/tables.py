"""What the screens of campaigns have in common. No telephone number is on any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from workers.campaign.brake import Measured
from workers.campaign.model import CampaignState, LineOutcome
from workers.dashboard.campaign_words import (
    MEASURE_WORDS,
    OUTCOME_WORDS,
    percent,
    told_events,
    without_numbers,
)
from workers.dashboard.story import Tone, one_line
from workers.store.campaigns.events import CampaignEvent

STATES: Mapping[CampaignState, str] = {
    CampaignState.DRAFT: "dim",
    CampaignState.CANARY: "bold cyan",
    CampaignState.RUNNING: "bold green",
    CampaignState.PAUSED: "bold yellow",
    CampaignState.FINISHED: "green",
    CampaignState.CANCELLED: "red",
}
TONES: Mapping[Tone, str] = {"good": "", "odd": "yellow", "bad": "bold red"}


def plain_table(*heads: str, right: Iterable[int] = (), fold: int | None = None) -> Table:
    """A table without lines.

    Args:
        heads: of its columns.
        right: the columns with numbers.
        fold: the one whose text may need several lines.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    numbers = set(right)
    for index, head in enumerate(heads):
        table.add_column(
            head,
            justify="right" if index in numbers else "left",
            no_wrap=index != fold,
            overflow="fold" if index == fold else "ellipsis",
        )
    return table


def safe(text: str, style: str = "") -> Text:
    """Text that neither rich's markup nor a terminal's control characters have an effect in."""
    return Text(one_line(without_numbers(text)), style)


def stop_text(stopped: str | None) -> Text | None:
    """That nobody is dialled for any campaign, as ``stop-all`` has it; None: it is not so."""
    if stopped is None:
        return None
    why = f" ({one_line(without_numbers(stopped))})" if stopped else ""
    words = f"All calls are stopped{why}: nobody is dialled before evercall allow-all."
    return Text(words, "bold red")


def outcomes_table(outcomes: Mapping[LineOutcome, int]) -> Table:
    """How many attempts ended how."""
    table = plain_table("Outcome", "Calls", "Share", right=(1, 2))
    settled = sum(outcomes.values())
    for outcome, words in OUTCOME_WORDS.items():
        if count := outcomes.get(outcome, 0):
            table.add_row(words, f"{count:,}", Text(percent(count / settled), "dim"))
    return table


def brake_table(brake: Sequence[Measured]) -> Table:
    """Each share of the newest calls beside its limit."""
    table = plain_table("Brake", "Now", "Limit", "Of calls", right=(1, 2, 3))
    for one in brake:
        style = "bold red" if one.reached else "" if one.judged else "dim"
        table.add_row(
            Text(MEASURE_WORDS[one.measure], style),
            Text(percent(one.share), style),
            "–" if one.limit is None else percent(one.limit),
            Text(f"{one.seen}" if one.judged else f"{one.seen}, too few", "dim"),
        )
    return table


def events_table(events: Sequence[CampaignEvent]) -> Table:
    """What was done, newest last."""
    table = plain_table("UTC", "What", "Why", fold=2)
    for event, what, reason, tone in told_events(events):
        table.add_row(
            Text(f"{event.at:%d %b %H:%M:%S}", "dim"), safe(what, TONES[tone]), safe(reason)
        )
    return table
