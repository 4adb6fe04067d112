"""Single-use tickets: the signed voice webhook mints one, the stream it asked for presents it.

A ticket is a signed statement of call, account, expiry and a random number. Nothing is stored
when it is issued, so the worker that answers the webhook need not be the one that gets the
stream; a redeemed one is remembered until it would have expired anyway, in this process.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from telephony.errors import TicketRejected

# A Twilio identifier has 34 characters and a ticket about 200; a <Parameter> takes 500 for name
# and value together (twilio.com/docs/voice/twiml/stream).
_MAX_CHARS: Final = 500


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

    def issue(self, *, account_sid: str, call_sid: str) -> str:
        """A ticket for one stream of this call."""
        expires_at = self._clock() + self._lifetime_s
        statement = [account_sid, call_sid, round(expires_at, 3), secrets.token_urlsafe(12)]
        return self._serializer.dumps(statement)

    def redeem(self, ticket: str | None, *, account_sid: str, call_sid: str) -> None:
        """Use up a ticket.

        Args:
            ticket: As presented, None where there was none.
            account_sid: From ``start``; the ticket must have been issued for it.
            call_sid: Likewise.

        Raises:
            TicketRejected: with the reason. A foreign ticket stays good for the call it is for.
        """
        if not ticket:
            raise TicketRejected("missing")
        if len(ticket) > _MAX_CHARS:
            raise TicketRejected("malformed")
        try:
            for_account, for_call, expires_at, number = self._serializer.loads(ticket)
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

    def _forget_expired(self, now: float) -> None:
        while self._redeemed:
            oldest = next(iter(self._redeemed))
            if self._redeemed[oldest] > now:
                break
            del self._redeemed[oldest]
