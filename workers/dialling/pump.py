"""Dials what has been written down, at the pace, for some seconds: the one place that asks Twilio.

Each attempt is begun in a transaction (``workers.dialling.beginning``) and then asked for once. A
process that dies in between leaves it in ``asking``, from where it is looked for at Twilio before
anything else happens to its contact.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from telephony.calls.rest import Call
from telephony.errors import CarrierError
from workers.campaign.model import CampaignState, IllegalMove, LineOutcome, VoicemailPolicy
from workers.campaign.refusals import PauseCampaign, Reconcile, refused
from workers.dialling.beginning import (
    AHEAD_S,
    TIME_LIMIT_S,
    Begun,
    CampaignBroken,
    Limits,
    Nothing,
    Wait,
    begin_next,
    place_anew,
)
from workers.dialling.transactions import FAULTS, write
from workers.store.campaigns import attempts
from workers.store.campaigns.campaigns import load_by_id, move
from workers.store.campaigns.suppressions import reason_for
from workers.store.campaigns.switches import stopped
from workers.store.database import reading

T = TypeVar("T")
_Clocks: TypeAlias = tuple[float, float]

DOUBTED_AFTER_S: Final = 0.5
"""A decision that is older is made sure of before Twilio is asked: a campaign that was paused
meanwhile dials nobody a second later, nor does anybody who has gone onto the suppression list get a
call that this process was too slow to ask for."""
STALE_AFTER_S: Final = 5.0
"""One that is older is not acted upon at all: this process was stopped, and by now somebody may
be looking for the call."""
LONGEST_NAP_S: Final = 0.5
_INSTANTS: Final = 3
"""Of one attempt: more would only make a database slower that is too slow for these."""

_log = structlog.get_logger(__name__)


class Dials(Protocol):
    """What asks Twilio: ``telephony.calls.rest.TwilioRest``."""

    def dial(
        self,
        to: str,
        *,
        from_: str | None = None,
        time_limit_s: int = ...,
        ring_timeout_s: int = ...,
        machine_detection: Literal["Enable", "DetectMessageEnd"] | None = ...,
        attempt_id: int | None = ...,
    ) -> Awaitable[Call]:
        """Have Twilio call a number; raises ``CarrierError``."""


@dataclass(slots=True)
class Pumped:
    """What came of it."""

    asked: int = 0
    placed: int = 0
    refused: int = 0
    unknown: int = 0


class Pump:
    """Dials for one account.

    Args:
        engine: Of the database.
        rest: Asks Twilio.
        limits: Of the account.
        wall: POSIX seconds.
        clock: Monotonic seconds.
        sleep: Lets seconds of ``wall`` pass.
        at_once: Requests to Twilio at the same time.
    """

    def __init__(
        self,
        engine: Engine,
        rest: Dials,
        limits: Limits,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        at_once: int = 50,
    ) -> None:
        self._engine = engine
        self._rest = rest
        self._limits = limits
        self._wall = wall
        self._clock = clock
        self._sleep = sleep
        self._room = asyncio.Semaphore(at_once)
        self._done = Pumped()
        self._broken: set[int] = set()

    async def run(self, for_s: float) -> Pumped:
        """Dial for so long, or until nobody is to be dialled; then wait for what was asked.

        Raises:
            SQLAlchemyError: the database is not there. Who was asked for is looked for later.
        """
        until = self._clock() + for_s
        failure: Exception | None = None
        async with asyncio.TaskGroup() as asking:
            while (left_s := until - self._clock()) > 0:
                await self._room.acquire()
                begun_at = self._clocks()
                found: Begun | Wait | Nothing = Nothing()
                try:
                    found = await self._write(self._begin)
                except CampaignBroken as error:
                    _log.exception("campaign.broken", campaign_id=error.campaign_id)
                    self._broken.add(error.campaign_id)
                    found = Wait(0.0)
                except FAULTS as error:
                    # What was asked for meanwhile still gets its answer.
                    failure = error
                finally:
                    if not isinstance(found, Begun):
                        self._room.release()
                match found:
                    case Begun():
                        asking.create_task(self._ask(found, begun_at))
                    case Wait(for_s=nap_s):
                        await self._sleep(min(nap_s, left_s, LONGEST_NAP_S))
                    case Nothing():
                        break
        if failure is not None:
            raise failure
        return self._done

    def _begin(self, connection: Connection) -> Begun | Wait | Nothing:
        return begin_next(connection, self._limits, self._wall, without=self._broken)

    async def _ask(self, begun: Begun, begun_at: _Clocks) -> None:
        try:
            begun = await self._at_its_instant(begun)
            if await self._still_wanted(begun, begun_at):
                await self._dial(begun)
        except FAULTS:
            # Callbacks tell of the call, or it is looked for; others get their answers.
            _log.exception("attempt.not_kept", attempt=begun.row.attempt.attempt_id)
        finally:
            self._room.release()

    async def _at_its_instant(self, begun: Begun) -> Begun:
        """Wait until one may be asked for; others are begun meanwhile."""
        for _ in range(_INSTANTS):
            # The clock may be set.
            early_s = min(begun.at_s - self._wall(), AHEAD_S)
            if early_s > 0:
                await self._sleep(early_s)
            if self._wall() <= begun.by_s:
                break
            begun = await self._write(partial(self._place_anew, begun))
        return begun

    def _place_anew(self, begun: Begun, connection: Connection) -> Begun:
        return place_anew(connection, self._limits, begun, self._wall)

    async def _still_wanted(self, begun: Begun, begun_at: _Clocks) -> bool:
        attempt_id = begun.row.attempt.attempt_id
        age_s = self._age_s(begun_at)
        if age_s > STALE_AFTER_S:
            # Left in asking: whoever looks for it will not find a call.
            _log.warning("attempt.stale", attempt=attempt_id, age_s=round(age_s, 1))
            return False
        if age_s <= DOUBTED_AFTER_S:
            return True
        against = await asyncio.to_thread(self._against, begun)
        if against is None:
            # Reading it has taken time as well.
            return self._age_s(begun_at) <= STALE_AFTER_S
        await self._refuse(attempt_id, LineOutcome.NOT_PLACED, 0, against)
        return False

    def _against(self, begun: Begun) -> str | None:
        """What has come up since an attempt was let go and speaks against it; None: nothing."""
        with reading(self._engine) as connection:
            campaign = load_by_id(connection, begun.campaign.campaign_id)
            if campaign is None or not campaign.state.dials or stopped(connection) is not None:
                return "Paused before Twilio was asked."
            if reason_for(connection, begun.row.attempt.number) is not None:
                return "On the suppression list before Twilio was asked."
        return None

    async def _dial(self, begun: Begun) -> None:
        attempt, definition = begun.row.attempt, begun.campaign.definition
        self._done.asked += 1
        leaves_message = definition.voicemail is VoicemailPolicy.LEAVE_MESSAGE
        try:
            call = await self._rest.dial(
                attempt.number,
                from_=attempt.caller,
                time_limit_s=TIME_LIMIT_S,
                ring_timeout_s=round(definition.ring_s),
                machine_detection="DetectMessageEnd" if leaves_message else "Enable",
                attempt_id=attempt.attempt_id,
            )
        except CarrierError as error:
            await self._not_taken(begun, error)
            return
        self._done.placed += 1
        placed = await self._write(
            lambda connection: attempts.note_placed(
                connection, attempt.attempt_id, call.sid, call.status, now=self._now()
            )
        )
        if not placed:
            _log.error("attempt.two_calls", attempt=attempt.attempt_id, call_sid=call.sid)

    async def _not_taken(self, begun: Begun, error: CarrierError) -> None:
        attempt_id = begun.row.attempt.attempt_id
        verdict = refused(error)
        _log.warning("attempt.not_taken", attempt=attempt_id, error=str(error))
        if isinstance(verdict, Reconcile):
            self._done.unknown += 1
            note = partial(
                attempts.note_unknown,
                attempt_id=attempt_id,
                now=self._now(),
                reason=verdict.reason,
            )
            await self._write(note)
            return
        self._done.refused += 1
        paused = isinstance(verdict, PauseCampaign)
        reason = verdict.fix if isinstance(verdict, PauseCampaign) else verdict.reason
        await self._refuse(attempt_id, verdict.outcome, error.code, reason)
        if paused:
            await self._write(
                lambda connection: self._pause(connection, begun.campaign.campaign_id, reason)
            )

    def _pause(self, connection: Connection, campaign_id: int, reason: str) -> None:
        try:
            move(connection, campaign_id, CampaignState.PAUSED, now=self._now(), reason=reason)
        except IllegalMove:
            # Paused, finished or cancelled by somebody else meanwhile.
            return
        _log.error("campaign.paused", campaign_id=campaign_id, reason=reason)

    async def _refuse(self, attempt_id: int, outcome: LineOutcome, code: int, reason: str) -> None:
        await self._write(
            lambda connection: attempts.note_refused(
                connection, attempt_id, outcome=outcome, code=code, reason=reason
            )
        )

    def _clocks(self) -> _Clocks:
        return self._clock(), self._wall()

    def _age_s(self, since: _Clocks) -> float:
        # While a machine is suspended its monotonic clock stands still (clock_gettime(2)); the
        # time of day may be set. Whichever saw more time pass is right, or does no harm.
        return max(now - then for now, then in zip(self._clocks(), since, strict=True))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(write, self._engine, work)
