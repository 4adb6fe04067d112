"""The media socket: let in what is Twilio's stream for an announced call, and nothing else.

In this order: the upgrade's signature (403), ``start`` in time, its ticket, the call's only
stream. Nothing that costs money is opened before all of them. Raw ASGI, because a framework's
wrapper costs on each of a call's hundred messages a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.types import Receive, Scope, Send

from telephony.calls.signature import SignatureCheck
from telephony.errors import MediaSocketClosed, SignatureRejected, StreamRejected, TicketRejected
from telephony.media_stream.handshake import CLOSE_POLICY, StartedStream, receive_start
from telephony.settings import MEDIA_PATH
from workers.call.active import StreamRefused
from workers.entrypoints.media_protocol import AT_ONCE
from workers.entrypoints.services import Services

# RFC 6455, section 7.4.1.
CLOSE_NORMAL = 1000
CLOSE_INTERNAL_ERROR = 1011
# RFC 6455, section 5.5: a control frame carries 125 bytes, two of them the code.
_REASON_CHARS = 120
# Reserved by RFC 6455, section 7.4.1: they name how a socket ended and are never sent.
_NEVER_SENT = (1005, 1006, 1015)

_log = structlog.get_logger(__name__)


class AsgiMediaSocket:
    """A ``MediaSocket`` over ASGI. One reader and one writer at a time.

    Args:
        receive: The server's.
        send: The server's.
        write: The server's, where it has one: sends text at once, or refuses.
        listen: The server's, where it has one: has text offered as it comes.
    """

    __slots__ = ("_closed", "_receive", "_send", "_write", "listen")

    def __init__(
        self,
        receive: Receive,
        send: Send,
        write: Callable[[str], bool] = lambda _text: False,
        listen: Callable[[Callable[[str], bool]], None] = lambda _take: None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._write = write
        self.listen = listen
        self._closed = False

    async def receive(self) -> str | bytes:
        """The next frame.

        Raises:
            MediaSocketClosed: there is none. uvicorn says 1005 also where the connection was
                lost without a close frame; only ``stop`` tells an orderly end.
        """
        if self._closed:
            raise MediaSocketClosed(CLOSE_NORMAL, "closed by us")
        message = await self._receive()
        if message["type"] == "websocket.receive":
            text: str | None = message.get("text")
            data: str | bytes = message["bytes"] if text is None else text
            return data
        self._closed = True
        raise MediaSocketClosed(message.get("code", 1006), message.get("reason") or "")

    def write(self, text: str) -> bool:
        """Send one text frame at once; False where it is for ``send``."""
        return not self._closed and self._write(text)

    async def send(self, text: str) -> None:
        """Send one text frame.

        Raises:
            MediaSocketClosed: nobody is there to take it.
        """
        if self._closed:
            raise MediaSocketClosed(1006, "closed before")
        try:
            await self._send({"type": "websocket.send", "text": text})
        except (OSError, RuntimeError) as error:
            # OSError: the peer is gone (ASGI 2.4). RuntimeError: a close was sent meanwhile.
            self._closed = True
            raise MediaSocketClosed(1006, "the peer is gone") from error

    async def close(self, code: int, reason: str) -> None:
        """Close, once; a socket that is gone already is left at that."""
        if self._closed:
            return
        self._closed = True
        if code in _NEVER_SENT:
            code = CLOSE_NORMAL
        try:
            await self._send(
                {"type": "websocket.close", "code": code, "reason": reason[:_REASON_CHARS]}
            )
        except (OSError, RuntimeError):
            return


class MediaEndpoint:
    """``/media`` as an ASGI application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signature = SignatureCheck(services.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from upgrade to close."""
        await receive()  # websocket.connect
        try:
            self._signature.check_upgrade(_header(scope, b"x-twilio-signature"))
        except SignatureRejected:
            self._services.metrics.requests_refused.labels(MEDIA_PATH, "signature").inc()
            # Before it is accepted, a close is a 403 (ASGI, websocket.close).
            await send({"type": "websocket.close", "code": CLOSE_POLICY})
            return
        await send({"type": "websocket.accept"})
        socket = AsgiMediaSocket(receive, send, **scope.get("extensions", {}).get(AT_ONCE, {}))
        try:
            started = await receive_start(socket, timeout_s=self._services.start_timeout_s)
        except StreamRejected as error:
            await self._refuse(socket, error.close_code, "no_start", str(error))
            return
        with structlog.contextvars.bound_contextvars(
            call_sid=started.start.call_sid, stream_sid=started.start.stream_sid
        ):
            await self._serve(socket, started)

    async def _serve(self, socket: AsgiMediaSocket, started: StartedStream) -> None:
        services, start = self._services, started.start
        try:
            ticket = services.tickets.redeem(
                started.ticket, account_sid=start.account_sid, call_sid=start.call_sid
            )
            entry = await services.takeover.started(ticket)
            if ticket.stream == 1 and entry.answered_at is None:
                entry.answered_at = ticket.issued_at
            announced = ticket.stream == 1
            if not await services.campaigns.brief(entry, ticket.attempt_id, announced=announced):
                # Twilio asks what is next, and is told.
                services.active.apologise(entry)
            with services.active.stream(entry):
                try:
                    await services.run_call(entry, socket, started)
                except Exception:  # noqa: BLE001  the edge of a call: logged, the caller gets another try
                    services.metrics.calls_crashed.inc()
                    _log.exception("call.crashed")
                    await socket.close(CLOSE_INTERNAL_ERROR, "internal error")
                else:
                    await socket.close(CLOSE_NORMAL, "")
        except TicketRejected as error:
            await self._refuse(socket, CLOSE_POLICY, f"ticket_{error.reason}", str(error))
        except StreamRefused as error:
            await self._refuse(socket, CLOSE_POLICY, error.reason, str(error))
        except asyncio.CancelledError:
            await socket.close(CLOSE_INTERNAL_ERROR, "worker stopped")
            raise

    async def _refuse(self, socket: AsgiMediaSocket, code: int, reason: str, text: str) -> None:
        self._services.metrics.streams_refused.labels(reason).inc()
        _log.warning("stream.refused", reason=reason, detail=text)
        await socket.close(code, text)


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key.lower() == name:
            text: str = value.decode("latin-1")
            return text
    return ""
