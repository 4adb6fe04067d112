"""Session resumption handles: issued after each turn, taken back by a later setup.

A handle stands for a snapshot of its session. Nobody has shown that the real server takes a handle
only once, so one may be redeemed again as long as no connection of its session is open.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from workers.twin.live_api.memory import Snapshot
from workers.twin.live_api.messages import RefusedError, invalid


@dataclass(frozen=True, slots=True)
class Issued:
    """What a handle stands for."""

    connection: int
    """Number of the connection that it was issued on."""
    model: str
    snapshot: Snapshot


class HandleBook:
    """Every handle of one server."""

    def __init__(self) -> None:
        self._issued: dict[str, Issued] = {}
        # A session lives on through every connection that resumed it.
        self._session_of: dict[int, int] = {}
        self._connections: dict[int, list[int]] = {}

    def issue(self, connection: int, model: str, snapshot: Snapshot) -> str:
        """Return a new handle; opaque, a UUID on 3.1 (recorded).

        It is random whatever the server's seed, so that one server never knows another's handles.
        """
        handle = str(uuid.uuid4())
        self._issued[handle] = Issued(connection, model, snapshot)
        self._join(connection, self._session(connection))
        return handle

    def redeem(
        self, handle: str, connection: int, model: str, is_open: Callable[[int], bool]
    ) -> Issued:
        """Return what ``handle`` stands for; ``connection`` goes on with its session.

        Raises:
            RefusedError: 1007 for an unknown handle (discuss.ai.google.dev/t/186392) or another
                model, 1011 while an old socket of the session is open (aicc2025/sip-to-ai#14).
        """
        issued = self._issued.get(handle)
        if issued is None or issued.model != model:
            raise invalid()
        session = self._session(issued.connection)
        if any(is_open(other) for other in self._connections[session]):
            raise RefusedError(1011, "Internal error encountered.")
        self._join(connection, session)
        return issued

    def forget(self, connections: Collection[int]) -> None:
        """Let the handles that were issued on these connections be unknown from now on."""
        gone = frozenset(connections)
        self._issued = {
            handle: issued
            for handle, issued in self._issued.items()
            if issued.connection not in gone
        }
        for connection in gone:
            session = self._session_of.pop(connection, None)
            if session is None:
                continue
            others = [one for one in self._connections[session] if one != connection]
            if others:
                self._connections[session] = others
            else:
                del self._connections[session]

    def _session(self, connection: int) -> int:
        return self._session_of.get(connection, connection)

    def _join(self, connection: int, session: int) -> None:
        if connection not in self._session_of:
            self._session_of[connection] = session
            self._connections.setdefault(session, []).append(connection)
