"""Ports for workers whose address is needed before they listen."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from workers.entrypoints.free_port import free_port

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_port_is_free_and_not_one_that_connections_are_made_from() -> None:
    """Between being found and being used no connection of ours may take it."""
    lowest = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    port = free_port()
    assert port < lowest
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_host_without_a_free_port_is_an_error() -> None:
    """An address that is not this machine's has none."""
    with pytest.raises(OSError, match="no free port"):
        free_port("192.0.2.1")


def test_port_is_given_once() -> None:
    """Whoever asked before may not listen on it yet."""
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == len(ports)
