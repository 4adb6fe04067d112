"""Where a call learns what its campaign has it know, and where its results go.

``Briefs`` is the port; ``workers.dialling.briefs`` has it in the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from agent.spec import PLACEHOLDER, AgentSpec
from telephony.calls.status import AnsweredBy
from telephony.calls.webhooks import StatusReport
from workers.campaign.brief import Brief

# What a campaign's call cannot do without, whatever its agent's file names.
_ALWAYS: Final = ("opt_out", "end_call")


class Briefs(Protocol):
    """Campaigns, as far as a call needs them. All of it may fail, and is bounded."""

    async def for_attempt(
        self, attempt_id: int, call_sid: str, *, deadline_s: float = 1.0
    ) -> Brief | None:
        """The brief of a call that an attempt has placed; None: there is no such attempt of it.

        Raises:
            StoreUnavailable: no answer by the deadline.
            BriefUnusable: its agent cannot be used.
        """
        ...

    async def for_call(self, call_sid: str, *, deadline_s: float = 1.0) -> Brief | None:
        """The same by the call; None: no campaign has placed it.

        Raises:
            StoreUnavailable, BriefUnusable: as above.
        """
        ...

    async def for_inbound(
        self, *, caller: str, called: str, deadline_s: float = 0.3
    ) -> Brief | None:
        """The brief of a contact who calls a number of their campaign; None: they are no contact.

        Raises:
            StoreUnavailable, BriefUnusable: as above.
        """
        ...

    async def keep_report(
        self,
        contact_id: int,
        attempt_id: int | None,
        fields: Mapping[str, object],
        *,
        deadline_s: float = 2.0,
    ) -> None:
        """Keep what the agent reports about a contact, in place of what it has reported before.

        Raises:
            StoreUnavailable: it was not written by the deadline.
        """
        ...

    async def suppress(
        self, number: str, *, reason: str, source: str, call_sid: str, deadline_s: float = 2.0
    ) -> None:
        """Have nobody call this number any more; a second time does no harm.

        Raises:
            StoreUnavailable: it was not written by the deadline.
        """
        ...

    async def note_status(
        self, attempt_id: int, report: StatusReport, *, deadline_s: float = 2.0
    ) -> None:
        """Note what Twilio says of an attempt's call.

        Raises:
            StoreUnavailable: it was not written by the deadline.
        """
        ...

    async def note_answered_by(
        self, attempt_id: int, call_sid: str, answered_by: AnsweredBy, *, deadline_s: float = 2.0
    ) -> bool:
        """Note detection's verdict on an attempt's call; False: it was known before.

        Raises:
            StoreUnavailable: it was not written by the deadline.
        """
        ...

    async def note_flags(
        self,
        attempt_id: int,
        call_sid: str,
        *,
        message_left: bool = False,
        opted_out: bool = False,
        machine: bool = False,
        abandoned: bool = False,
        deadline_s: float = 2.0,
    ) -> None:
        """Note what happened in an attempt's call; what was noted before stays.

        Raises:
            StoreUnavailable: it was not written by the deadline.
        """
        ...


def campaign_spec(brief: Brief) -> AgentSpec:
    """The agent of a campaign's call: it discloses first, and can always note an opt-out.

    The same for all calls of a campaign: what differs between contacts stays a placeholder.
    """
    spec = brief.spec
    parts, greeting = [spec.system_instruction], spec.greeting
    if brief.disclosure:
        greeting = replace(
            greeting,
            text=f"{brief.disclosure} {greeting.text or ''}".strip(),
            # Kept audio is the same for every contact.
            cached=greeting.cached and not PLACEHOLDER.search(brief.disclosure),
        )
        parts.append(
            "Whoever is on this line must be told who speaks. The first words of the call are, "
            f"word for word: “{brief.disclosure}” If they were cut off, say them again."
        )
    if brief.opt_out_key:
        parts.append(
            f"If the other side presses {brief.opt_out_key} on the keypad, they do not want to be "
            "called again: say that this is understood, say goodbye and end the call."
        )
    missing = tuple(name for name in _ALWAYS if name not in spec.tools)
    made = replace(
        spec,
        system_instruction="\n\n".join(parts),
        greeting=greeting,
        tools=(*spec.tools, *missing),
    )
    # Not a field that ``replace`` may set; tools and sounds are found beside the agent's file.
    object.__setattr__(made, "source", spec.source)
    return made


def same_agent(one: Brief, other: Brief) -> bool:
    """Whether two calls can be served with the same loaded agent."""
    return (
        (one.disclosure, one.opt_out_key) == (other.disclosure, other.opt_out_key)
        and one.spec.folder == other.spec.folder
        and (one.spec is other.spec or one.spec == other.spec)
    )
