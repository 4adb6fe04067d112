"""The listening socket, as media streams need it; light, so that a parent process can bind it."""

from __future__ import annotations

import socket

# Longer than any stall of a call that goes on: its sends are given up after 5 s.
STUCK_PEER_MS = 30_000
# Requests wait here while a process starts again; Twilio waits 15 s for an answer (twilio.md 3.3).
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Bind the address and listen; port 0 is the system's choice.

    Raises:
        OSError: the address cannot be had, such as because the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Accepted sockets inherit it. asyncio (not uvloop) sets it only on sockets that name their
    # protocol, and create_server's do not: a mark behind audio then waits 40 ms (observed).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Inherited, too. Closing waits for a peer to take what was sent to it; one that is
        # alive and reads nothing would keep the socket for good (Linux answers for it).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_PEER_MS)
    return listener
