"""A port of this machine for a worker whose address must be known before it listens."""

from __future__ import annotations

import random
import socket

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152
# by RFC 6335, section 6): one of ours could take the port between being found and being used.
_PORTS = range(20_000, 32_768)
_TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nobody listens.

    Raises:
        OSError: there was none in many tries.
    """
    for port in random.sample(_PORTS, _TRIES):
        try:
            with socket.create_server((host, port)):
                return port
        except OSError:
            continue
    raise OSError(f"no free port on {host} in {_TRIES} tries")
