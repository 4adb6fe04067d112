"""Twilio's HTTP requests: check, decide, answer with TwiML or with nothing.

A request that does not carry Twilio's signature is answered with 403 and leaves no trace but a
count. Nothing here waits for the store, save ``/voice/continue`` for a call that this process
does not know, and that with a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from telephony.calls import twiml
from telephony.calls.signature import SignatureCheck
from telephony.calls.status import CallStatus, advance
from telephony.calls.webhooks import (
    CallRequest,
    Form,
    StreamEvent,
    read_amd_report,
    read_call_request,
    read_dial_ended,
    read_status_report,
    read_stream_report,
)
from telephony.errors import MalformedWebhook, SignatureRejected
from workers.call.active import CallEntry, CallState
from workers.call.steering import (
    NO_AGENT_LEFT,
    Apologise,
    DialTransfer,
    HangUp,
    Reconnect,
    Step,
    after_transfer,
    continue_call,
)
from workers.entrypoints.services import Services
from workers.store.calls import StoreUnavailable

# Twilio's requests have some 2 kB; SIP headers and passports add to them.
MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 5.0
# Twilio waits 15 s for TwiML and the caller hears nothing meanwhile.
RECALL_DEADLINE_S = 1.0

_log = structlog.get_logger(__name__)

Handler = Callable[[Request, Form], Awaitable[Response]]


class Webhooks:
    """The routes under ``/voice``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signature = SignatureCheck(services.settings)

    def routes(self) -> list[Route]:
        """Every path with its handler behind the signature check."""
        handlers: dict[str, Handler] = {
            twiml.VOICE_PATH: self._voice,
            twiml.CONTINUE_PATH: self._continue,
            twiml.TRANSFER_RESULT_PATH: self._transfer_result,
            twiml.WHISPER_PATH: self._whisper,
            twiml.STATUS_PATH: self._status,
            twiml.STREAM_STATUS_PATH: self._stream_status,
            twiml.AMD_PATH: self._amd,
        }
        return [
            Route(path, self._signed(path, handler), methods=["POST"])
            for path, handler in handlers.items()
        ]

    def _signed(self, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            signature = request.headers.get("x-twilio-signature", "")
            try:
                form = Form(await _read_body(request))
                self._signature.check_webhook(
                    path,
                    request.scope["query_string"].decode("latin-1"),
                    form,
                    signature,
                    request.headers.get("x-twilio-webhooks-signature-settings", ""),
                )
                answer = await handler(request, form)
            except SignatureRejected:
                return self._refuse(path, "signature", 403)
            except MalformedWebhook as error:
                return self._refuse(path, "malformed", 400, str(error))
            except _BodyTooLarge:
                return self._refuse(path, "too_large", 413)
            except (TimeoutError, ClientDisconnect):
                return self._refuse(path, "incomplete", 408)
            self._services.metrics.webhooks.labels(path).inc()
            return answer

        return endpoint

    def _refuse(self, path: str, reason: str, status: int, text: str = "") -> Response:
        self._services.metrics.requests_refused.labels(path, reason).inc()
        return Response(text, status_code=status, media_type="text/plain")

    async def _voice(self, _request: Request, form: Form) -> Response:
        """A new call, inbound or answered outbound: open its stream."""
        request = read_call_request(form)
        services = self._services
        if request.status.terminal:
            return _twiml(twiml.hang_up())
        entry = services.active.admit(
            call_sid=request.call_sid,
            account_sid=request.account_sid,
            direction=request.direction,
            from_=request.from_,
            to=request.to,
        )
        if entry is None:
            return self._no_room(request)
        entry.status = advance(entry.status, request.status)
        _log.info("call.announced", call_sid=entry.call_sid, direction=entry.direction)
        return self._connect(entry, announcement=services.announcement)

    def _no_room(self, request: CallRequest) -> Response:
        services = self._services
        forward_to = services.settings.forward_number
        services.metrics.calls_refused.labels("forward" if forward_to else "say").inc()
        _log.warning("call.refused", call_sid=request.call_sid, open=services.active.open_calls)
        if forward_to is not None:
            return _twiml(twiml.forward(to=forward_to))
        return _twiml(twiml.say_and_hang_up(services.refusal))

    async def _continue(self, request: Request, form: Form) -> Response:
        """A stream has ended: what is next?"""
        asked = read_call_request(form)
        reconnects = _count(request.query_params.get("n"))
        entry = await self._entry(asked, reconnects)
        # A stream that has said what is next may take its time to end; only where it has not, or
        # where another one is to follow, must it be over.
        if entry.undecided and not _repeated(entry, reconnects) and not await self._ended(entry):
            return self._carry_out(entry, Apologise())
        if entry.undecided and _repeated(entry, reconnects):
            return self._connect(entry)
        return self._carry_out(entry, continue_call(entry))

    async def _transfer_result(self, _request: Request, form: Form) -> Response:
        """A transfer's ``<Dial>`` has ended: the call is done, or comes back to an agent."""
        ended = read_dial_ended(form)
        entry = await self._entry(ended.request, 0)
        self._services.store.add_event(
            entry.call_sid, "transfer", {"status": ended.status, "bridged": ended.bridged}
        )
        step = after_transfer(entry, ended)
        # A number that cannot be dialled is back before the old stream is cleared away. Where this
        # was answered before, the stream is a new one.
        if (
            isinstance(step, Reconnect)
            and entry.state is CallState.TRANSFER
            and not await self._ended(entry)
        ):
            step = Apologise()
        return self._carry_out(entry, step)

    async def _whisper(self, request: Request, _form: Form) -> Response:
        """Somebody has answered a transfer: what they hear before they are connected.

        At once and from memory, because both wait for it; where nothing is known of the call, they
        are connected. Twilio may ask again and hears the same.
        """
        services = self._services
        entry = services.active.get(request.query_params.get(twiml.CALL_QUERY, ""))
        if entry is None or entry.briefing is None:
            return _twiml(twiml.whisper(None))
        return _twiml(twiml.whisper(replace(services.apology, text=entry.briefing)))

    async def _status(self, _request: Request, form: Form) -> Response:
        report = read_status_report(form)
        services = self._services
        services.active.note_status(report.call_sid, report.status)
        services.store.add_event(report.call_sid, "status", asdict(report))
        return _nothing()

    async def _stream_status(self, _request: Request, form: Form) -> Response:
        report = read_stream_report(form)
        services = self._services
        services.metrics.stream_events.labels(report.event.value).inc()
        services.store.add_event(report.call_sid, "stream", asdict(report))
        if report.event is StreamEvent.ERROR:
            _log.warning(
                "stream.error",
                call_sid=report.call_sid,
                stream_sid=report.stream_sid,
                error=report.error,
            )
        return _nothing()

    async def _amd(self, _request: Request, form: Form) -> Response:
        report = read_amd_report(form)
        self._services.store.add_event(report.call_sid, "amd", asdict(report))
        return _nothing()

    async def _ended(self, entry: CallEntry) -> bool:
        """Wait for the end of the stream before, since the next one would be refused."""
        ended = await self._services.active.stream_ended(entry)
        if not ended:
            _log.error("call.stream_stuck", call_sid=entry.call_sid)
        return ended

    async def _entry(self, request: CallRequest, reconnects: int) -> CallEntry:
        """The call's entry, made anew from the store where this process does not know it."""
        active = self._services.active
        entry = active.get(request.call_sid)
        if entry is None:
            recalled = await self._recall(request)
            # Meanwhile the same question may have been answered, and a stream be open.
            entry = active.get(request.call_sid) or active.adopt(recalled)
        entry.reconnects = max(entry.reconnects, reconnects)
        entry.status = advance(entry.status, request.status)
        return entry

    async def _recall(self, request: CallRequest) -> CallEntry:
        entry = CallEntry(
            call_sid=request.call_sid,
            account_sid=request.account_sid,
            direction=request.direction,
            from_=request.from_,
            to=request.to,
            state=CallState.IN_PROGRESS,
            status=CallStatus.IN_PROGRESS,
        )
        try:
            stored = await self._services.store.load_call(
                request.call_sid, deadline_s=RECALL_DEADLINE_S
            )
        except StoreUnavailable:
            stored = None
        _log.info("call.recalled", call_sid=request.call_sid, stored=stored is not None)
        if stored is not None:
            if stored.row.state in (CallState.FINISHED, CallState.APOLOGY):
                entry.state = CallState(stored.row.state)
            if stored.record is not None:
                entry.record = stored.record
                entry.history = list(stored.record.turns)
                # Else a call without an agent could go from transfer to transfer, each on a worker
                # that does not know of the one before.
                entry.last_resort = stored.record.end_reason in NO_AGENT_LEFT
        return entry

    def _carry_out(self, entry: CallEntry, step: Step) -> Response:
        services = self._services
        name = type(step).__name__
        services.metrics.calls_continued.labels(name).inc()
        _log.info("call.continued", call_sid=entry.call_sid, step=name, reconnects=entry.reconnects)
        match step:
            case HangUp():
                services.active.finish(entry)
                return _twiml(twiml.hang_up())
            case Apologise():
                services.active.finish(entry)
                return _twiml(twiml.say_and_hang_up(services.apology))
            case DialTransfer(to=to):
                # Twilio shows the caller's number by default; of a call we placed, ours.
                outbound = entry.direction.startswith("outbound")
                caller_id = entry.from_ if outbound else None
                briefed_call = entry.call_sid if entry.briefing else None
                return _twiml(
                    twiml.dial(
                        services.settings, to=to, caller_id=caller_id, briefed_call=briefed_call
                    )
                )
            case Reconnect(notice, lost):
                entry.reconnects += lost
                services.active.resume(entry, notice=notice)
                return self._connect(entry)

    def _connect(self, entry: CallEntry, *, announcement: twiml.Spoken | None = None) -> Response:
        services = self._services
        ticket = services.tickets.issue(account_sid=entry.account_sid, call_sid=entry.call_sid)
        return _twiml(
            twiml.connect_stream(
                services.settings,
                ticket=ticket,
                reconnects=entry.reconnects,
                announcement=announcement,
            )
        )


class _BodyTooLarge(Exception):
    """More than ``MAX_BODY_BYTES``."""


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise _BodyTooLarge
    return bytes(body)


def _repeated(entry: CallEntry, reconnects: int) -> bool:
    """Whether the end of the stream with this count was answered before.

    Another stream was asked for then; by now it may be open, and must not be ended for this.
    """
    return reconnects < entry.reconnects


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 4 else 0


def _twiml(document: str) -> Response:
    return Response(document, media_type=twiml.CONTENT_TYPE)


def _nothing() -> Response:
    # docs/voice/api/call-resource: a callback wants a quick 2xx and no body.
    return Response(status_code=204)
