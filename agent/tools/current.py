"""The session that a tool runs for: what a tool may tell the model beside its result."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from agent.conversation.record import UpdateRecord


class CurrentSession(Protocol):
    """What a tool, or an operator, may do with a live session."""

    def add_context(self, text: str) -> UpdateRecord:
        """Have the model know a text from now on, without an answer to it.

        Raises:
            ValueError: the text is empty or too long; or the session is over.
        """

    def update_instruction(self, text: str) -> UpdateRecord:
        """Replace the agent's own instruction for the rest of the session.

        Raises:
            ValueError: the text is empty or too long; or the session is over.
        """


_current: ContextVar[CurrentSession] = ContextVar("session")


def current_session() -> CurrentSession:
    """Return the session whose model called the tool that asks.

    Raises:
        LookupError: no session is running this.
    """
    return _current.get()


def enter(session: CurrentSession) -> None:
    """Make ``session`` the current one for this task and those it starts."""
    _current.set(session)
