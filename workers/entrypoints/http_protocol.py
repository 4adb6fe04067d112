"""uvicorn's HTTP protocol, for an address that strangers can reach.

uvicorn closes a connection that idles after an answer, but waits for ever for a request that does
not come, comes a byte at a time, or whose body goes on after the answer (observed with 0.54).
A thousand such connections, which cost a stranger nothing, are all that a process may have open.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Twilio gives up after 15 s (twilio.md 3.3), and its requests come in one piece. uvicorn's own time
# between two requests of a connection is 5 s.
REQUEST_S: Final = 10.0


class HttpProtocol(H11Protocol):
    """For ``uvicorn.Config(http=...)``: cuts a connection that brings no request in time.

    A request that is being answered is not cut: its handler has time-outs of its own.
    """

    _timer: asyncio.TimerHandle | None = None
    _answered: object = None
    """The request that had been answered at the last look."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and begin to wait for its first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(REQUEST_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        protocol = self.transport.get_protocol()
        if protocol is not self:
            # Upgraded. A media socket has time-outs of its own from its handshake on.
            if isinstance(protocol, WebSocketsSansIOProtocol) and not protocol.handshake_initiated:
                self.transport.abort()
            return
        # The newest request. uvicorn's annotation leaves out that there may be none.
        cycle: RequestResponseCycle | None = self.cycle
        waiting = cycle is None or cycle.response_complete
        if waiting and cycle is self._answered:
            self.transport.abort()
            return
        self._answered = cycle if waiting else None
        self._timer = self.loop.call_later(REQUEST_S, self._look)
