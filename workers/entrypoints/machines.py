"""What is done where a machine may have answered a campaign's call.

Detection's verdict comes while the agent is speaking already, or late; it is noted with the attempt
whatever it is, and acted on only while the call is with the agent. Twilio is asked in the
background: its answer to the callback must not wait for another request to it.
Source: twilio.com/docs/voice/answering-machine-detection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from agent.conversation.prompt import fill
from agent.errors import AgentSpecError
from telephony.calls import twiml
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.calls.webhooks import Form, read_amd_report, read_call_request
from telephony.errors import CallAlreadyOver, CarrierError
from workers.call.campaign_calls import WRITE_DEADLINE_S
from workers.call.entry import CallState
from workers.campaign.brief import Brief, BriefUnusable
from workers.campaign.model import VoicemailPolicy
from workers.entrypoints.services import Services
from workers.store.calls import StoreUnavailable
from workers.store.messages import MessageKind

A_MACHINE_ANSWERED: Final = (
    "An answering machine or a voicemail has answered this call, not a person. What you heard was "
    "its greeting; nobody will answer you."
)
# Its greeting is over. ``machine_start`` says nothing of that: a message would be spoken into it.
_GREETING_OVER: Final = frozenset(
    {
        AnsweredBy.MACHINE_END_BEEP,
        AnsweredBy.MACHINE_END_SILENCE,
        AnsweredBy.MACHINE_END_OTHER,
    }
)
_PEOPLE: Final = frozenset({AnsweredBy.HUMAN, AnsweredBy.UNKNOWN})
_WITH_THE_AGENT: Final = frozenset(
    {CallState.RINGING, CallState.IN_PROGRESS, CallState.HANDED_OVER}
)

_log = structlog.get_logger(__name__)


NO_ATTEMPT: Final = 0
"""An attempt that there never is."""


def attempt_of(request: Request) -> int | None:
    """The attempt that an address of ours names; None: it names none.

    Signed, so it is what we have put there; if it is not, it is ``NO_ATTEMPT``, and the call none
    of those that may be served without one.
    """
    text = request.query_params.get(twiml.ATTEMPT_QUERY)
    if text is None:
        return None
    # As many digits as an INTEGER of PostgreSQL may have.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else NO_ATTEMPT


class MachineWebhooks:
    """Detection's verdict, and the word that a message was spoken to its end."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def amd(self, request: Request, form: Form) -> Response:
        """Who has answered."""
        report, attempt_id = read_amd_report(form), attempt_of(request)
        services, call_sid = self._services, report.call_sid
        services.store.add_event(call_sid, "amd", asdict(report))
        entry = services.active.get(call_sid)
        if entry is not None:
            entry.answered_by = report.answered_by
        if attempt_id is not None:
            campaigns = services.campaigns
            known: list[bool] = []

            async def write() -> None:
                new = await campaigns.briefs.note_answered_by(
                    attempt_id, call_sid, report.answered_by, deadline_s=WRITE_DEADLINE_S
                )
                known.append(not new)

            await campaigns.once("answered_by", write, call_sid)
            # Twice the same would begin a message anew; of what was not written nobody knows.
            if report.answered_by not in _PEOPLE and not any(known):
                campaigns.later(self._act(attempt_id, call_sid, report.answered_by))
        return Response(status_code=204)

    async def message_left(self, request: Request, form: Form) -> Response:
        """A message was spoken to its end: that is noted, and the call is over."""
        asked, attempt_id = read_call_request(form), attempt_of(request)
        if attempt_id is not None:
            campaigns = self._services.campaigns
            await campaigns.note(
                "flags",
                lambda: campaigns.briefs.note_flags(
                    attempt_id, asked.call_sid, message_left=True, deadline_s=WRITE_DEADLINE_S
                ),
                asked.call_sid,
            )
            self._count("message")
        return Response(twiml.hang_up(), media_type=twiml.CONTENT_TYPE)

    async def _act(self, attempt_id: int, call_sid: str, answered_by: AnsweredBy) -> bool:
        """Do what the campaign's file says; False where nothing could be done."""
        services = self._services
        brief = await self._brief(attempt_id, call_sid)
        if brief is None or not await self._is_with_the_agent(call_sid):
            self._count("late")
            return False
        policy = brief.voicemail
        if answered_by is not AnsweredBy.FAX:
            if policy is VoicemailPolicy.TALK:
                return await self._tell(call_sid)
            if policy is VoicemailPolicy.LEAVE_MESSAGE and answered_by in _GREETING_OVER:
                return await self._asked(
                    lambda: self._leave_message(brief, attempt_id, call_sid), call_sid
                )
            campaigns = services.campaigns
            await campaigns.note(
                "flags",
                lambda: campaigns.briefs.note_flags(
                    attempt_id, call_sid, machine=True, deadline_s=WRITE_DEADLINE_S
                ),
                call_sid,
            )
        self._count("hung_up")
        return await self._asked(lambda: services.rest.hang_up(call_sid), call_sid)

    async def _brief(self, attempt_id: int, call_sid: str) -> Brief | None:
        entry = self._services.active.get(call_sid)
        if entry is not None and entry.brief is not None:
            return entry.brief
        try:
            return await self._services.campaigns.briefs.for_attempt(attempt_id, call_sid)
        except (StoreUnavailable, BriefUnusable) as error:
            _log.warning("campaign.no_brief", call_sid=call_sid, why=str(error))
            return None

    async def _is_with_the_agent(self, call_sid: str) -> bool:
        """Whether the call is neither over nor with a person; any worker may serve it."""
        services = self._services
        entry = services.active.get(call_sid)
        if entry is not None:
            return entry.undecided and not entry.status.terminal
        try:
            call = await services.store.recall(call_sid)
        except StoreUnavailable:
            return False
        # Written behind: a call that is not there yet has been answered just now.
        return call is None or (
            call.row.state in _WITH_THE_AGENT and not CallStatus(call.row.status).terminal
        )

    async def _leave_message(self, brief: Brief, attempt_id: int, call_sid: str) -> None:
        services = self._services
        try:
            agent = await services.agents.for_brief(brief)
        except AgentSpecError:
            agent = services.agents.own
        message = agent.spoken(fill(brief.voicemail_message, brief.variables))
        document = twiml.leave_message(services.settings, message, attempt_id=attempt_id)
        await services.rest.redirect(call_sid, document)

    async def _tell(self, call_sid: str) -> bool:
        try:
            await self._services.store.leave_message(
                call_sid, MessageKind.CONTEXT, A_MACHINE_ANSWERED
            )
        except StoreUnavailable as error:
            _log.warning("campaign.agent_not_told", call_sid=call_sid, why=str(error))
            return False
        self._count("told")
        return True

    async def _asked(
        self, ask: Callable[[], Coroutine[object, object, None]], call_sid: str
    ) -> bool:
        try:
            await ask()
        except CallAlreadyOver:
            return False
        except CarrierError as error:
            # It goes on with the agent, as if detection had said nothing.
            _log.warning("campaign.machine_not_ended", call_sid=call_sid, why=str(error))
            return False
        return True

    def _count(self, done: str) -> None:
        self._services.metrics.campaign_machines.labels(done).inc()
