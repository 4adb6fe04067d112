"""Single-use tickets: the signed voice webhook mints one, the stream it asked for presents it.

A ticket is a signed statement of call, account, expiry, a random number, and what the worker that
gets the stream needs to know, since ``start`` names no numbers: which stream of the call this is,
the call's direction and its two numbers. Nothing is stored when it is issued, so the worker that
answers the webhook need not be the one that gets the stream.

A redeemed ticket is remembered until it would have expired anyway, in this process alone. That the
same one is not used in two processes is the store's affair: one stream number of a call can be
claimed once.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from telephony.errors import TicketRejected

# A <Parameter> takes less than 500 for name and value together, and 20 are left for the name
# (twilio.com/docs/voice/twiml/stream). A ticket with two phone numbers has about 200.
_MAX_CHARS: Final = 480


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a redeemed ticket says."""

    account_sid: str
    call_sid: str
    stream: int = 1
    """The stream's number in its call, counted from 1."""
    direction: str = ""
    """As Twilio names it: ``inbound``, ``outbound-api``."""
    from_: str = ""
    """Empty, as is ``to``, where they did not fit."""
    to: str = ""
    notice: str = ""
    """A word by which its issuer tells the worker that gets the stream what happened meanwhile."""
    attempt_id: int | None = None
    """Of the campaign that has placed the call."""
    issued_at: float = 0.0
    """When, in seconds of the Unix clock."""


class TicketBook:
    """Issues and redeems the tickets of one deployment, which shares ``secret``."""

    def __init__(
        self,
        secret: str,
        *,
        lifetime_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not secret:
            raise ValueError("tickets need a secret")
        # itsdangerous compares signatures in constant time.
        self._serializer = URLSafeSerializer(secret, salt="evercall.media-stream-ticket")
        self._lifetime_s = lifetime_s
        self._clock = clock
        # Redeemed and not yet expired, oldest expiry first or nearly so: as many as there are
        # streams within one lifetime.
        self._redeemed: dict[str, float] = {}

    def issue(
        self,
        *,
        account_sid: str,
        call_sid: str,
        stream: int = 1,
        direction: str = "",
        from_: str = "",
        to: str = "",
        notice: str = "",
        attempt_id: int | None = None,
    ) -> str:
        """A ticket for one stream of this call.

        ``from_`` and ``to`` are left out where it would be too long: they can be SIP addresses.
        """
        call = [account_sid, call_sid, round(self._clock() + self._lifetime_s, 3)]
        statement = [*call, secrets.token_urlsafe(12), stream, direction, notice]
        # At the end, and only where there is one: a worker of before can read all others.
        attempt = [] if attempt_id is None else [attempt_id]
        ticket = self._serializer.dumps([*statement, from_, to, *attempt])
        if len(ticket) > _MAX_CHARS:
            ticket = self._serializer.dumps([*statement, "", "", *attempt])
        return ticket

    def redeem(self, text: str | None, *, account_sid: str, call_sid: str) -> Ticket:
        """Use up a ticket, and learn what it says.

        Args:
            text: As presented, None where there was none.
            account_sid: From ``start``; the ticket must have been issued for it.
            call_sid: Likewise.

        Raises:
            TicketRejected: with the reason. A foreign ticket stays good for the call it is for.
        """
        if not text:
            raise TicketRejected("missing")
        if len(text) > _MAX_CHARS:
            raise TicketRejected("malformed")
        try:
            for_account, for_call, expires_at, number, *rest = self._serializer.loads(text)
            stream, direction, notice, from_, to, *attempt = rest
            (attempt_id,) = attempt or (None,)
            issued_at = expires_at - self._lifetime_s
        except (BadData, ValueError, TypeError) as error:
            raise TicketRejected("malformed") from error
        now = self._clock()
        if now >= expires_at:
            raise TicketRejected("expired")
        same_account = hmac.compare_digest(for_account.encode(), account_sid.encode())
        same_call = hmac.compare_digest(for_call.encode(), call_sid.encode())
        if not (same_account and same_call):
            raise TicketRejected("foreign")
        self._forget_expired(now)
        if number in self._redeemed:
            raise TicketRejected("reused")
        self._redeemed[number] = expires_at
        return Ticket(
            account_sid,
            call_sid,
            stream,
            direction,
            from_,
            to,
            notice=notice,
            attempt_id=attempt_id,
            issued_at=issued_at,
        )

    def _forget_expired(self, now: float) -> None:
        while self._redeemed:
            oldest = next(iter(self._redeemed))
            if self._redeemed[oldest] > now:
                break
            del self._redeemed[oldest]
