"""Twilio's HTTP requests: check, decide, answer with TwiML or with nothing.

A request that does not carry Twilio's signature is answered with 403 and leaves no trace but a
count. ``/voice`` waits for nothing but, with a deadline, for what a campaign knows of the call.
What is next in a call that goes on is decided from the store, which is waited for with a deadline,
because any worker may have served it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from telephony.calls import twiml
from telephony.calls.signature import SignatureCheck
from telephony.calls.status import advance
from telephony.calls.twiml import Spoken
from telephony.calls.webhooks import (
    CallRequest,
    Form,
    StreamEvent,
    read_call_request,
    read_dial_ended,
    read_status_report,
    read_stream_report,
)
from telephony.errors import MalformedWebhook, SignatureRejected
from workers.call.campaign_calls import WRITE_DEADLINE_S
from workers.call.entry import CallEntry, CallState
from workers.call.handover import handover
from workers.call.steering import (
    Apologise,
    DialTransfer,
    HangUp,
    LetGo,
    Reconnect,
    Step,
    after_transfer,
    continue_call,
)
from workers.call.takeover import TRANSFER_FAILED, closed
from workers.entrypoints.machines import MachineWebhooks, attempt_of
from workers.entrypoints.services import Services
from workers.store.calls import StoreUnavailable

# Twilio's requests have some 2 kB; SIP headers and passports add to them.
MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 5.0
# Whoever has answered a transfer, and the caller, wait for it in silence.
WHISPER_DEADLINE_S = 0.5

_log = structlog.get_logger(__name__)

Handler = Callable[[Request, Form], Awaitable[Response]]


class Webhooks:
    """The routes under ``/voice``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signature = SignatureCheck(services.settings)
        self._machines = MachineWebhooks(services)

    def routes(self) -> list[Route]:
        """Every path with its handler behind the signature check."""
        handlers: dict[str, Handler] = {
            twiml.VOICE_PATH: self._voice,
            twiml.CONTINUE_PATH: self._continue,
            twiml.TRANSFER_RESULT_PATH: self._transfer_result,
            twiml.WHISPER_PATH: self._whisper,
            twiml.STATUS_PATH: self._status,
            twiml.STREAM_STATUS_PATH: self._stream_status,
            twiml.AMD_PATH: self._machines.amd,
            twiml.MESSAGE_LEFT_PATH: self._machines.message_left,
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

    async def _voice(self, asked: Request, form: Form) -> Response:
        """A new call, inbound or answered outbound: open its stream.

        A campaign's is asked about first, soon: without its brief it gets the apology.
        """
        request, attempt_id = read_call_request(form), attempt_of(asked)
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
            return self._no_room(request, attempt_id)
        if entry.answered_at is None:
            entry.answered_at = services.wall()
        entry.status = advance(entry.status, request.status)
        _log.info("call.announced", call_sid=entry.call_sid, direction=entry.direction)
        if not await services.campaigns.brief(entry, attempt_id, announced=True):
            self._let_down(attempt_id, entry.call_sid)
            return await self._carry_out(entry, Apologise())
        if services.active.get(entry.call_sid) is entry and not entry.streams:
            services.prewarm(entry)
        announcement = services.agents.of(entry).announcement
        return self._connect(entry, stream=1, announcement=announcement, attempt_id=attempt_id)

    def _let_down(self, attempt_id: int | None, call_sid: str) -> None:
        """We have called somebody and have nobody for them: the campaign's brake shall know."""
        if attempt_id is not None:
            self._services.campaigns.abandoned(attempt_id, call_sid)

    def _no_room(self, request: CallRequest, attempt_id: int | None) -> Response:
        services = self._services
        if attempt_id is not None:
            # They did not call us: no line is busy, and nobody else waits for them.
            services.metrics.calls_refused.labels("apology").inc()
            _log.warning("call.refused", call_sid=request.call_sid, attempt=attempt_id)
            self._let_down(attempt_id, request.call_sid)
            return _twiml(twiml.say_and_hang_up(services.agents.own.apology))
        forward_to = services.settings.forward_number
        services.metrics.calls_refused.labels("forward" if forward_to else "say").inc()
        _log.warning("call.refused", call_sid=request.call_sid, open=services.active.open_calls)
        if forward_to is not None:
            return _twiml(twiml.forward(to=forward_to))
        return _twiml(twiml.say_and_hang_up(services.refusal))

    async def _continue(self, request: Request, form: Form) -> Response:
        """A stream has ended: what is next?"""
        asked = read_call_request(form)
        ended = _number(request.query_params.get(twiml.STREAM_QUERY))
        attempt_id = attempt_of(request)
        entry = await self._services.takeover.asked(asked, ended=ended)
        if not await self._services.campaigns.brief(entry, attempt_id):
            return await self._carry_out(entry, Apologise())
        if ended is not None and ended < entry.streams and entry.undecided:
            # This was answered before: by now the next stream may be open, and must not be ended
            # for it. Its ticket opens no second one.
            return self._connect(entry, stream=ended + 1, attempt_id=attempt_id)
        # A stream that has said what is next may take its time to end; only where it has not, or
        # where another one is to follow, must it be over.
        ended_here = not entry.undecided or await self._ended(entry)
        if entry.taken_over:
            # While it was waited for: whoever has its number knows what is next.
            return await self._continue(request, form)
        if not ended_here:
            return await self._carry_out(entry, Apologise())
        services = self._services
        spec = services.agents.of(entry).spec
        return await self._carry_out(
            entry,
            continue_call(entry, spec, now=services.wall()),
            attempt_id=attempt_id,
        )

    async def _transfer_result(self, _request: Request, form: Form) -> Response:
        """A transfer's ``<Dial>`` has ended: the call is done, or comes back to an agent."""
        result = read_dial_ended(form)
        entry = await self._services.takeover.asked(result.request, ended=None)
        self._services.store.add_event(
            entry.call_sid, "transfer", {"status": result.status, "bridged": result.bridged}
        )
        step = after_transfer(entry, result)
        if isinstance(step, Reconnect) and not await self._services.campaigns.brief(entry, None):
            step = Apologise()
        # A number that cannot be dialled is back before the old stream is cleared away. Where this
        # was answered before, the stream is a new one.
        if (
            isinstance(step, Reconnect)
            and entry.state is CallState.TRANSFER
            and not await self._ended(entry)
        ):
            step = Apologise()
        return await self._carry_out(entry, step)

    async def _whisper(self, request: Request, _form: Form) -> Response:
        """Somebody has answered a transfer: what they hear before they are connected.

        From memory, or else soon, because both wait for it; where nothing is known of the call,
        they are connected. Twilio may ask again and hears the same.
        """
        services = self._services
        call_sid = request.query_params.get(twiml.CALL_QUERY, "")
        entry = services.active.get(call_sid)
        if entry is None:
            return _twiml(twiml.whisper(await self._recalled_briefing(call_sid)))
        if entry.briefing is None:
            return _twiml(twiml.whisper(None))
        return _twiml(twiml.whisper(services.agents.of(entry).spoken(entry.briefing)))

    async def _recalled_briefing(self, call_sid: str) -> Spoken | None:
        services = self._services
        try:
            call = await services.store.recall(call_sid, deadline_s=WHISPER_DEADLINE_S)
        except StoreUnavailable:
            return None
        if call is None or call.record is None or call.row.state != CallState.TRANSFER:
            return None
        # In the own agent's voice and by its redaction, which the record has gone through before by
        # the call's own: who is being connected waits for no more questions.
        own = services.agents.own
        text = handover(call.record, own.spec, last_resort=call.row.last_resort)
        return None if text is None else own.spoken(text)

    async def _status(self, request: Request, form: Form) -> Response:
        report = read_status_report(form)
        services = self._services
        known = services.active.get(report.call_sid)
        undecided = known is not None and known.state is not CallState.FINISHED
        entry = services.active.note_status(report.call_sid, report.status)
        if entry is not None and entry.status.terminal and undecided and not entry.stream_live:
            # Its last stream did not know that it was the last.
            services.close_record(entry)
        services.store.add_event(report.call_sid, "status", asdict(report))
        attempt_id = attempt_of(request)
        if attempt_id is not None:
            # What is lost here is found by whoever looks for attempts without news.
            await services.campaigns.once(
                "status",
                lambda: services.campaigns.briefs.note_status(
                    attempt_id, report, deadline_s=WRITE_DEADLINE_S
                ),
                report.call_sid,
            )
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

    async def _ended(self, entry: CallEntry) -> bool:
        """Wait for the end of the stream before, since the next one would be refused."""
        ended = await self._services.active.stream_ended(entry)
        if not ended:
            _log.error("call.stream_stuck", call_sid=entry.call_sid)
        return ended

    async def _carry_out(
        self, entry: CallEntry, step: Step, *, attempt_id: int | None = None
    ) -> Response:
        services = self._services
        agent = services.agents.of(entry)
        name = type(step).__name__
        services.metrics.calls_continued.labels(name).inc()
        _log.info("call.continued", call_sid=entry.call_sid, step=name, streams=entry.streams)
        match step:
            case HangUp():
                self._finish(entry)
                return _twiml(twiml.hang_up())
            case Apologise():
                self._finish(entry)
                return _twiml(twiml.say_and_hang_up(agent.apology))
            case DialTransfer(to, last_resort):
                # Twilio shows the caller's number by default; of a call we placed, ours.
                outbound = entry.direction.startswith("outbound")
                caller_id = entry.from_ if outbound else None
                if entry.state is not CallState.TRANSFER:
                    services.active.take(entry)
                    services.active.transfer(entry, to, last_resort=last_resort)
                # What another worker knows of it is asked when somebody has answered.
                known_here = services.active.get(entry.call_sid) is entry
                briefed = entry.briefing if known_here else agent.spec.context.briefing
                briefed_call = entry.call_sid if briefed else None
                return _twiml(
                    twiml.dial(
                        services.settings, to=to, caller_id=caller_id, briefed_call=briefed_call
                    )
                )
            case Reconnect(notice):
                if entry.state is CallState.TRANSFER:
                    services.active.resume(entry)
                    # Who gets the stream looks there whether there is anything to go on with.
                    await services.store.settled()
                elif entry.unserved:
                    services.active.note_unserved(entry)
                    await services.store.settled()
                notice = TRANSFER_FAILED if notice else ""
                return self._connect(
                    entry, stream=entry.streams + 1, notice=notice, attempt_id=attempt_id
                )
            case LetGo():
                raise AssertionError("a stream's own")

    def _finish(self, entry: CallEntry) -> None:
        services = self._services
        over = entry.state is CallState.FINISHED
        if not over and services.active.get(entry.call_sid) is not entry:
            services.active.take(entry)
            if entry.record is not None:
                entry.record = closed(entry.record, "the caller was told, and the call ended")
            services.on_over(entry)
        services.active.finish(entry)
        if not over and not entry.stream_live:
            services.close_record(entry)

    def _connect(
        self,
        entry: CallEntry,
        *,
        stream: int,
        announcement: twiml.Spoken | None = None,
        notice: str = "",
        attempt_id: int | None = None,
    ) -> Response:
        services = self._services
        if attempt_id is None and entry.brief is not None:
            attempt_id = entry.brief.attempt_id
        ticket = services.tickets.issue(
            account_sid=entry.account_sid,
            call_sid=entry.call_sid,
            stream=stream,
            direction=entry.direction,
            from_=entry.from_,
            to=entry.to,
            notice=notice,
            attempt_id=attempt_id,
        )
        return _twiml(
            twiml.connect_stream(
                services.settings,
                ticket=ticket,
                stream=stream,
                announcement=announcement,
                attempt_id=attempt_id,
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


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else None


def _twiml(document: str) -> Response:
    return Response(document, media_type=twiml.CONTENT_TYPE)


def _nothing() -> Response:
    # docs/voice/api/call-resource: a callback wants a quick 2xx and no body.
    return Response(status_code=204)
