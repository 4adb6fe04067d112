"""A port of this machine for a worker whose address must be known before it listens."""

from __future__ import annotations

import random
import socket

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152
# by RFC 6335, section 6): one of ours could take the port between being found and being used.
_PORTS = range(20_000, 32_768)
_TRIES = 100


# Whoever asked for one may not have used it yet.
_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nobody listens, and none that this process was given before.

    Raises:
        OSError: there was none in many tries.
    """
    for port in random.sample(_PORTS, _TRIES):
        if port in _given:
            continue
        try:
            with socket.create_server((host, port)):
                _given.add(port)
                return port
        except OSError:
            continue
    raise OSError(f"no free port on {host} in {_TRIES} tries")
