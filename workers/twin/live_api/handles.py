"""Session resumption handles: issued after each turn, taken back by a later setup.

A handle names the session it was issued by. What the session remembers is not restored yet; it
belongs beside the session number here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from workers.twin.live_api.messages import RefusedError, invalid


class HandleBook:
    """Every handle of one server."""

    def __init__(self) -> None:
        self._sessions: dict[str, int] = {}

    def issue(self, session: int) -> str:
        """Return a new handle for ``session``; opaque, a UUID on 3.1 (recorded)."""
        handle = str(uuid.uuid4())
        self._sessions[handle] = session
        return handle

    def redeem(self, handle: str, is_open: Callable[[int], bool]) -> int:
        """Return the session that ``handle`` continues.

        Raises:
            RefusedError: 1007 for an unknown handle (discuss.ai.google.dev/t/186392), 1011 while
                the old socket is still open (aicc2025/sip-to-ai#14).
        """
        session = self._sessions.get(handle)
        if session is None:
            raise invalid()
        if is_open(session):
            raise RefusedError(1011, "Internal error encountered.")
        return session
