"""Campaigns in memory; ``failing`` makes them unavailable, as in an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from telephony.calls.status import AnsweredBy
from telephony.calls.webhooks import StatusReport
from workers.campaign.brief import Brief, BriefUnusable
from workers.store.calls import StoreUnavailable


@dataclass
class MemoryBriefs:
    """What is asked is looked up; what is told is kept in lists."""

    by_attempt: dict[int, Brief] = field(default_factory=dict)
    by_call: dict[str, Brief] = field(default_factory=dict)
    by_numbers: dict[tuple[str, str], Brief] = field(default_factory=dict)
    """By caller and called."""
    failing: bool = False
    fail_writes: int = 0
    """So many writes from now on."""
    unusable: bool = False
    delay_s: float = 0.0
    reports: list[tuple[int, int | None, dict[str, object]]] = field(default_factory=list)
    suppressed: list[tuple[str, str, str]] = field(default_factory=list)
    """Number, source, call."""
    statuses: list[tuple[int, StatusReport]] = field(default_factory=list)
    verdicts: list[tuple[int, AnsweredBy]] = field(default_factory=list)
    flags: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def for_attempt(
        self, attempt_id: int, call_sid: str, *, deadline_s: float = 1.0
    ) -> Brief | None:
        await self._read("attempt", deadline_s)
        return self.by_attempt.get(attempt_id)

    async def for_call(self, call_sid: str, *, deadline_s: float = 1.0) -> Brief | None:
        await self._read("call", deadline_s)
        return self.by_call.get(call_sid)

    async def for_inbound(
        self, *, caller: str, called: str, deadline_s: float = 0.3
    ) -> Brief | None:
        await self._read("inbound", deadline_s)
        return self.by_numbers.get((caller, called))

    async def keep_report(
        self,
        contact_id: int,
        attempt_id: int | None,
        fields: Mapping[str, object],
        *,
        deadline_s: float = 2.0,
    ) -> None:
        await self._write(deadline_s)
        self.reports.append((contact_id, attempt_id, dict(fields)))

    async def suppress(
        self, number: str, *, reason: str, source: str, call_sid: str, deadline_s: float = 2.0
    ) -> None:
        await self._write(deadline_s)
        assert reason
        self.suppressed.append((number, source, call_sid))

    async def note_status(
        self, attempt_id: int, report: StatusReport, *, deadline_s: float = 2.0
    ) -> None:
        await self._write(deadline_s)
        self.statuses.append((attempt_id, report))

    async def note_answered_by(
        self, attempt_id: int, call_sid: str, answered_by: AnsweredBy, *, deadline_s: float = 2.0
    ) -> bool:
        await self._write(deadline_s)
        new = (attempt_id, answered_by) not in self.verdicts
        self.verdicts.append((attempt_id, answered_by))
        return new

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
        await self._write(deadline_s)
        given = {
            "message_left": message_left,
            "opted_out": opted_out,
            "machine": machine,
            "abandoned": abandoned,
        }
        self.flags.extend((attempt_id, name) for name, is_set in given.items() if is_set)

    async def _read(self, what: str, deadline_s: float) -> None:
        self.asked.append(what)
        if self.unusable:
            raise BriefUnusable("agent.yaml:1: name: is required")
        await self._wait(deadline_s)

    async def _write(self, deadline_s: float) -> None:
        if self.fail_writes:
            self.fail_writes -= 1
            raise StoreUnavailable("no answer")
        await self._wait(deadline_s)

    async def _wait(self, deadline_s: float) -> None:
        if self.failing:
            raise StoreUnavailable("no answer")
        if self.delay_s > deadline_s:
            await asyncio.sleep(deadline_s)
            raise StoreUnavailable("no answer in time")
        await asyncio.sleep(self.delay_s)
