"""What campaigns have to do with a worker's calls: their briefs before, their results after.

A question about a campaign never holds up a call for longer than its deadline. A result that could
not be written is tried again in the background for some minutes; of an opt-out the call's own
history says so as well, which the store keeps behind (``CallStore.add_event``).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Final, Literal

import structlog

from agent.conversation.record import CallRecord
from agent.errors import AgentSpecError
from telephony.calls.status import AnsweredBy
from workers.call.agents import Agents
from workers.call.brief import Briefs
from workers.call.entry import CallEntry
from workers.campaign.brief import Brief, BriefUnusable
from workers.metrics import Metrics
from workers.store.calls import CallStore, StoreUnavailable

# Twilio waits 15 s for TwiML and the callee hears nothing meanwhile; a caller has rung already.
OUTBOUND_DEADLINE_S: Final = 1.0
INBOUND_DEADLINE_S: Final = 0.3
AGENT_DEADLINE_S: Final = 4.0
"""For the first call of a campaign, whose agent's modules may be large."""
WRITE_DEADLINE_S: Final = 2.0
RETRY_FOR_S: Final = 600.0
"""How long what could not be written is tried again; an opt-out without an end."""
_RETRY_AFTER_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""The last one from then on."""
# Bound: with so many waiting the database has been away for long; the newest is given up, unless it
# is an opt-out.
MAX_WAITING: Final = 2_000
ABANDONED_AFTER_S: Final = 2.0
"""16 CFR 310.4(b)(4)(i): a person who answers is to hear somebody within two seconds."""
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}")
# What stands for a number that is withheld, as a keypad spells it: ANONYMOUS, RESTRICTED, UNKNOWN,
# UNAVAILABLE, BLOCKED (Twilio's help: "Why am I getting calls from these strange numbers?").
_WITHHELD: Final = frozenset({"+266696687", "+7378742833", "+8656696", "+86282452253", "+2562533"})
_MACHINES: Final = frozenset(AnsweredBy) - {AnsweredBy.HUMAN, AnsweredBy.UNKNOWN}

Source = Literal["agent", "keypad"]
Note = Literal["report", "suppress", "status", "answered_by", "flags"]

_log = structlog.get_logger(__name__)


class CampaignCalls:
    """The campaigns' side of one worker's calls. Belongs to its event loop.

    Args:
        briefs: Campaigns.
        agents: Loads the agents of campaigns.
        store: Keeps what happened to a call.
        metrics: Counts.
        wall: The Unix clock.
        clock: Monotonic seconds.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        briefs: Briefs,
        agents: Agents,
        store: CallStore,
        metrics: Metrics,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.briefs = briefs
        self._agents = agents
        self._store = store
        self._metrics = metrics
        self._wall = wall
        self._clock = clock
        self._sleep = sleep
        self._closing = asyncio.Event()
        # Bound: ``MAX_WAITING`` retries, and what calls have under way.
        self._waiting: set[asyncio.Task[bool]] = set()

    # -- before a call ---------------------------------------------------------------------------

    async def brief(
        self, entry: CallEntry, attempt_id: int | None, *, announced: bool = False
    ) -> bool:
        """Find out which campaign a call belongs to, and give it that one's agent.

        Args:
            entry: The call; one that is briefed is left at that.
            attempt_id: Of the address that Twilio was given when the call was placed.
            announced: The call is new: without an attempt, no campaign has placed it, and a caller
                whose campaign cannot be asked keeps the worker's own agent for the whole call.

        Returns:
            False where a campaign has placed the call and nobody knows what for: calling somebody
            with the wrong agent is worse than an apology.
        """
        if entry.briefed:
            return True
        outbound = entry.direction.startswith("outbound")
        if not outbound:
            # No attempt has placed it, whatever its address says.
            attempt_id = None
        if outbound and announced and attempt_id is None:
            entry.briefed = True
            return True
        try:
            brief = await self._ask(entry, attempt_id, outbound=outbound)
            async with asyncio.timeout(AGENT_DEADLINE_S):
                agent = None if brief is None else await self._agents.for_brief(brief)
        except (StoreUnavailable, TimeoutError) as error:
            self._count("unavailable")
            _log.warning("campaign.no_brief", call_sid=entry.call_sid, why=str(error))
            entry.briefed = announced and not outbound
            return not (attempt_id is not None or (outbound and self._is_anothers(entry)))
        except (BriefUnusable, AgentSpecError) as error:
            self._count("unusable")
            _log.error("campaign.agent_unusable", call_sid=entry.call_sid, why=str(error))
            entry.briefed = announced and not outbound
            return not outbound
        if brief is None and attempt_id is not None:
            self._count("unknown")
            _log.error("campaign.unknown_attempt", call_sid=entry.call_sid, attempt=attempt_id)
            return False
        entry.brief, entry.agent, entry.briefed = brief, agent, True
        if brief is not None:
            self._count("found")
            _log.info("campaign.briefed", call_sid=entry.call_sid, campaign=brief.campaign)
        return True

    async def _ask(
        self, entry: CallEntry, attempt_id: int | None, *, outbound: bool
    ) -> Brief | None:
        if attempt_id is not None:
            return await self.briefs.for_attempt(
                attempt_id, entry.call_sid, deadline_s=OUTBOUND_DEADLINE_S
            )
        if outbound:
            return await self.briefs.for_call(entry.call_sid, deadline_s=OUTBOUND_DEADLINE_S)
        return await self.briefs.for_inbound(
            caller=entry.from_, called=entry.to, deadline_s=INBOUND_DEADLINE_S
        )

    def _is_anothers(self, entry: CallEntry) -> bool:
        return entry.record is not None and entry.record.agent != self._agents.own.spec.name

    # -- in a call -------------------------------------------------------------------------------

    async def opt_out(self, entry: CallEntry, source: Source) -> bool:
        """Have the other side's number never called again; True: that holds from now on.

        Where it could not be written it is tried again, also when the call is over by then; the
        call's history says how it went.
        """
        self._store.add_event(entry.call_sid, "opt_out", {"source": source})
        return await asyncio.shield(self.later(self._opt_out(entry, source)))

    async def _opt_out(self, entry: CallEntry, source: Source) -> bool:
        number = entry.to if entry.direction.startswith("outbound") else entry.from_
        flagged: asyncio.Task[bool] | None = None
        if entry.brief is not None and (attempt_id := entry.brief.attempt_id) is not None:
            flagged = self.later(self._flag(attempt_id, entry.call_sid, opted_out=True))
        # Withheld, or a SIP address: there is nothing that a list of numbers could hold.
        known = _NUMBER.fullmatch(number) is not None and number not in _WITHHELD
        written = known and await self.note(
            "suppress",
            lambda: self.briefs.suppress(
                number,
                reason="They asked not to be called.",
                source=source,
                call_sid=entry.call_sid,
                deadline_s=WRITE_DEADLINE_S,
            ),
            entry.call_sid,
        )
        if flagged is not None:
            await flagged
        self._suppressed(entry.call_sid, written=written, known=known)
        _log.info("call.opted_out", call_sid=entry.call_sid, source=source, suppressed=written)
        return written

    async def report(self, entry: CallEntry, fields: Mapping[str, object]) -> bool:
        """Keep what the agent reports; False: not yet."""
        brief = entry.brief
        if brief is None:
            return False
        kept = dict(fields)
        written = self.note(
            "report",
            lambda: self.briefs.keep_report(
                brief.contact_id, brief.attempt_id, kept, deadline_s=WRITE_DEADLINE_S
            ),
            entry.call_sid,
        )
        return await asyncio.shield(self.later(written))

    # -- after a call ----------------------------------------------------------------------------

    def closed(self, entry: CallEntry) -> None:
        """A call is over and its record is whole: note it where a person heard nobody in time."""
        brief = entry.brief
        if brief is None or brief.attempt_id is None or entry.abandonment_judged:
            return
        entry.abandonment_judged = True
        if entry.answered_by not in _MACHINES and was_abandoned(entry.record, entry.answered_at):
            self.abandoned(brief.attempt_id, entry.call_sid)

    def abandoned(self, attempt_id: int, call_sid: str) -> None:
        """Note, without waiting for it, that somebody answered and heard no agent."""
        self.later(self._flag(attempt_id, call_sid, abandoned=True))

    async def _flag(self, attempt_id: int, call_sid: str, **flags: bool) -> bool:
        return await self.note(
            "flags",
            lambda: self.briefs.note_flags(
                attempt_id, call_sid, deadline_s=WRITE_DEADLINE_S, **flags
            ),
            call_sid,
        )

    # -- writing ---------------------------------------------------------------------------------

    async def note(self, what: Note, write: Callable[[], Awaitable[None]], call_sid: str) -> bool:
        """Write a result now, or else in the background; True: it is written."""
        if await self.once(what, write, call_sid):
            return True
        self.later(self._again(what, write, call_sid))
        return False

    async def once(self, what: Note, write: Callable[[], Awaitable[None]], call_sid: str) -> bool:
        """Try to write a result; False is counted and logged."""
        try:
            await write()
        except StoreUnavailable as error:
            self._metrics.campaign_notes_failed.labels(what).inc()
            _log.warning("campaign.not_noted", what=what, call_sid=call_sid, why=str(error))
            return False
        return True

    def later(self, work: Coroutine[object, object, bool]) -> asyncio.Task[bool]:
        """Do something in the background, in a task that is owned here; False: it failed."""

        async def run() -> bool:
            try:
                return await work
            except Exception:  # noqa: BLE001  the edge of a task
                _log.exception("campaign.task_failed")
                return False

        task = asyncio.create_task(run(), name="campaign")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def settled(self) -> None:
        """Wait until nothing is under way, however long that takes."""
        while self._waiting:
            await asyncio.wait(set(self._waiting))

    async def close(self, *, deadline_s: float = WRITE_DEADLINE_S) -> None:
        """Try what waits once more, now, and give up the rest."""
        self._closing.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self.settled()
        if left := set(self._waiting):
            _log.error("campaign.given_up", count=len(left))
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    async def _again(self, what: Note, write: Callable[[], Awaitable[None]], call_sid: str) -> bool:
        if len(self._waiting) > MAX_WAITING and what != "suppress":
            _log.error("campaign.given_up", what=what, call_sid=call_sid)
            return False
        # Nobody else knows of an opt-out: that is tried for as long as the worker runs.
        until = math.inf if what == "suppress" else self._clock() + RETRY_FOR_S
        tries = 0
        while True:
            # A worker that stops tries once more.
            last = self._closing.is_set()
            await self._pause(_RETRY_AFTER_S[min(tries, len(_RETRY_AFTER_S) - 1)])
            tries += 1
            if await self.once(what, write, call_sid):
                _log.info("campaign.noted_late", what=what, call_sid=call_sid, tries=tries)
                if what == "suppress":
                    self._suppressed(call_sid, written=True, known=True)
                return True
            if last or self._clock() >= until:
                break
        _log.error("campaign.given_up", what=what, call_sid=call_sid)
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait, but not while the worker stops."""
        waits = [
            asyncio.ensure_future(self._sleep(seconds)),
            asyncio.ensure_future(self._closing.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _suppressed(self, call_sid: str, *, written: bool, known: bool) -> None:
        self._store.add_event(call_sid, "suppressed", {"written": written, "known": known})

    def _count(self, outcome: str) -> None:
        self._metrics.campaign_briefs.labels(outcome).inc()


def was_abandoned(record: CallRecord | None, answered_at: float | None) -> bool:
    """Whether somebody answered and heard no agent within ``ABANDONED_AFTER_S``.

    Who hangs up before that has not waited for long enough. A recall in the middle of the call
    changes nothing: what counts is what was heard first.

    Args:
        record: The whole call; None: it never had a stream.
        answered_at: When Twilio asked what to do with the answered call, by the Unix clock; None:
            as the first stream began.
    """
    if record is None or not record.started_at:
        return False
    began = datetime.fromisoformat(record.started_at).timestamp()
    # Between the two lie some tenths of a second; a clock that was set shall not make them more.
    waited_s = 0.0 if answered_at is None else min(max(0.0, began - answered_at), 60.0)
    heard_s = [
        turn.started_s for turn in record.turns if turn.speaker == "agent" and turn.heard_ms > 0
    ]
    first_s = min(heard_s) if heard_s else record.ended_s
    return first_s is not None and waited_s + first_s > ABANDONED_AFTER_S
