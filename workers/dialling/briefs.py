"""The briefs of campaigns' calls, and what comes of the calls, in the database.

Implements the port ``workers.call.brief.Briefs``. An agent's file is read where the worker runs: it
must lie there under the path that the campaign was created with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog
from sqlalchemy import Connection

from agent.errors import AgentSpecError
from agent.spec import AgentSpec, load_agent
from telephony.calls.status import AnsweredBy
from telephony.calls.webhooks import StatusReport
from workers.campaign.brief import Brief, BriefUnusable
from workers.campaign.model import AttemptState, Campaign, Contact
from workers.store.asking import Asker
from workers.store.campaigns import attempts, campaigns, reports, suppressions
from workers.store.campaigns.rows import AttemptRow

# Bound: the campaigns that run at once share a handful of agents.
_KEPT_FILES: Final = 64

_log = structlog.get_logger(__name__)

_Stamp = tuple[int, int]
_UNASKED: Final = frozenset({AttemptState.INTENDED, AttemptState.WITHDRAWN})
# More is no id of PostgreSQL's INTEGER, which would refuse the statement.
_MOST_ID: Final = 2**31 - 1


class SqlBriefs:
    """Campaigns, as far as a call needs them.

    Args:
        asker: Puts questions to the database, in threads of its own.
        now: The wall clock.
    """

    def __init__(
        self, asker: Asker, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._asker = asker
        self._now = now
        self._files = AgentFiles()

    async def for_attempt(
        self, attempt_id: int, call_sid: str, *, deadline_s: float = 1.0
    ) -> Brief | None:
        """The brief of a call that an attempt has placed."""

        def read(connection: Connection) -> Brief | None:
            return self._of_attempt(connection, _attempt_of(connection, attempt_id, call_sid))

        return await self._asker.read(read, deadline_s)

    async def for_call(self, call_sid: str, *, deadline_s: float = 1.0) -> Brief | None:
        """The same by the call."""

        def read(connection: Connection) -> Brief | None:
            return self._of_attempt(connection, attempts.attempt_of_call(connection, call_sid))

        return await self._asker.read(read, deadline_s)

    async def for_inbound(
        self, *, caller: str, called: str, deadline_s: float = 0.3
    ) -> Brief | None:
        """The brief of a contact who calls a number of their campaign."""

        def read(connection: Connection) -> Brief | None:
            found = reports.contact_who_calls(connection, caller=caller, called=called)
            return None if found is None else self._brief(*found, attempt_id=None)

        return await self._asker.read(read, deadline_s)

    async def keep_report(
        self,
        contact_id: int,
        attempt_id: int | None,
        fields: Mapping[str, object],
        *,
        deadline_s: float = 2.0,
    ) -> None:
        """Keep what the agent reports about a contact."""
        await self._asker.write(
            lambda connection: reports.keep_report(connection, contact_id, fields, now=self._now()),
            deadline_s,
        )
        _log.info("campaign.reported", contact=contact_id, attempt=attempt_id)

    async def suppress(
        self, number: str, *, reason: str, source: str, call_sid: str, deadline_s: float = 2.0
    ) -> None:
        """Have nobody call this number any more."""
        await self._asker.write(
            lambda connection: suppressions.suppress(
                connection, number, reason=reason, source=source, now=self._now(), call_sid=call_sid
            ),
            deadline_s,
        )

    async def note_status(
        self, attempt_id: int, report: StatusReport, *, deadline_s: float = 2.0
    ) -> None:
        """Note what Twilio says of an attempt's call."""

        def note(connection: Connection) -> bool:
            # An address that outlives its database names somebody else's attempt.
            if _attempt_of(connection, attempt_id, report.call_sid) is None:
                return True
            return attempts.note_status(connection, attempt_id, report, now=self._now())

        if not await self._asker.write(note, deadline_s):
            _log.error("campaign.other_call", attempt=attempt_id, call_sid=report.call_sid)

    async def note_answered_by(
        self, attempt_id: int, call_sid: str, answered_by: AnsweredBy, *, deadline_s: float = 2.0
    ) -> bool:
        """Note detection's verdict on an attempt's call; False: it was known before."""

        def note(connection: Connection) -> bool:
            if _attempt_of(connection, attempt_id, call_sid) is None:
                return False
            before = attempts.note_answered_by(connection, attempt_id, answered_by, now=self._now())
            # As ``attempts.note_answered_by``: the first one stays, unless it was only the start.
            open_to_it = (None, AnsweredBy.MACHINE_START.value)
            return before is not None and (
                before.answered_by in open_to_it and before.answered_by != answered_by.value
            )

        return await self._asker.write(note, deadline_s)

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
        """Note what happened in an attempt's call."""

        def note(connection: Connection) -> None:
            if _attempt_of(connection, attempt_id, call_sid) is not None:
                attempts.note_flags(
                    connection,
                    attempt_id,
                    message_left=message_left,
                    opted_out=opted_out,
                    machine=machine,
                    abandoned=abandoned,
                )

        await self._asker.write(note, deadline_s)

    def _of_attempt(self, connection: Connection, row: AttemptRow | None) -> Brief | None:
        if row is None:
            return None
        campaign = campaigns.load_by_id(connection, row.attempt.campaign_id)
        contact = reports.load_contact(connection, row.attempt.contact_id)
        if campaign is None or contact is None:
            return None
        return self._brief(campaign.definition, contact, attempt_id=row.attempt.attempt_id)

    def _brief(self, campaign: Campaign, contact: Contact, *, attempt_id: int | None) -> Brief:
        return Brief(
            attempt_id=attempt_id,
            campaign=campaign.name,
            contact_id=contact.contact_id,
            spec=self._files.load(campaign.agent),
            # A variable of the file that is called so is meant.
            variables=MappingProxyType({"name": contact.name, **contact.variables}),
            disclosure=campaign.disclosure,
            outcome=campaign.outcome,
            opt_out_key=campaign.opt_out_key,
            voicemail=campaign.voicemail,
            voicemail_message=campaign.voicemail_message,
        )


def _attempt_of(connection: Connection, attempt_id: int, call_sid: str) -> AttemptRow | None:
    """The attempt if this may be its call: a stale address must not write another's outcome."""
    row = attempts.load_attempt(connection, attempt_id) if attempt_id <= _MOST_ID else None
    if row is not None:
        known = row.attempt.call_sid
        # A callback may come before the answer to the request, but not before the request.
        if known == call_sid or (known is None and row.attempt.state not in _UNASKED):
            return row
    _log.error("campaign.other_call", attempt=attempt_id, call_sid=call_sid)
    return None


class AgentFiles:
    """Agents by path, read again when their file has changed. Several threads may ask.

    While a file is gone, or wrong after a change, those who are called meanwhile get the agent
    that was read last: to them it is better than an apology.
    """

    def __init__(self) -> None:
        self._read: dict[str, tuple[_Stamp, AgentSpec]] = {}

    def load(self, path: str) -> AgentSpec:
        """The agent of a file, the same object as long as the file is the same.

        Raises:
            BriefUnusable: it cannot be read, or is wrong, and never was good.
        """
        known = self._read.get(path)
        try:
            found = Path(path).stat()
            stamp = found.st_mtime_ns, found.st_size
            if known is not None and known[0] == stamp:
                return known[1]
            spec = load_agent(path)
        except (OSError, AgentSpecError) as error:
            why = str(error)
            if isinstance(error, OSError):
                why = f"{path}: {error.strerror or error}"
            if known is None:
                raise BriefUnusable(why) from error
            _log.error("campaign.agent_file_unusable", why=why)
            return known[1]
        if len(self._read) >= _KEPT_FILES:
            self._read.clear()
        self._read[path] = stamp, spec
        return spec
