"""What a child hears of its parent, and what it tells."""

from __future__ import annotations

import asyncio
import socket

from workers.entrypoints.supervisor.events import Reason
from workers.entrypoints.supervisor.link import ParentLink
from workers.entrypoints.supervisor.words import Lines


async def within(event: asyncio.Event) -> bool:
    async with asyncio.timeout(5):
        return await event.wait()


async def test_child_tells_in_lines() -> None:
    """A word each; why it wants to be replaced follows the word."""
    parent, child = socket.socketpair()
    with parent, ParentLink(child) as link:
        link.ready()
        link.recycle(Reason.MEMORY)
        assert parent.recv(100) == b"ready\nrecycle memory\n"


async def test_child_hears_when_to_leave_and_when_to_hurry() -> None:
    """Lines may come in pieces; what it does not know is for a later release."""
    parent, child = socket.socketpair()
    with parent, ParentLink(child) as link:
        parent.sendall(b"dance\nlea")
        await asyncio.sleep(0.05)
        assert not link.leave.is_set()
        parent.sendall(b"ve\n")
        assert await within(link.leave)
        assert not link.hurry.is_set()
        assert not link.replaced
        parent.sendall(b"hurry\n")
        assert await within(link.hurry)
        assert not link.parent_gone


async def test_child_hears_that_it_is_replaced() -> None:
    """New connections are not for it any more."""
    parent, child = socket.socketpair()
    with parent, ParentLink(child) as link:
        parent.sendall(b"leave replaced\n")
        assert await within(link.leave)
        assert link.replaced


async def test_child_of_a_dead_parent_leaves() -> None:
    """Without a hurry; what it still tells goes nowhere."""
    parent, child = socket.socketpair()
    with ParentLink(child) as link:
        parent.close()
        assert await within(link.leave)
        assert link.parent_gone
        assert not link.hurry.is_set()
        link.recycle(Reason.CALLS)


def test_lines_without_an_end_are_bounded() -> None:
    """Whatever a child gone mad writes does not fill the parent's memory."""
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == []
    (long,) = lines.feed(b"\n")
    assert len(long) < 1000
    assert lines.feed(b"ready\nrecycle calls\nre") == ["ready", "recycle calls"]
    assert lines.feed(b"ady\n") == ["ready"]
