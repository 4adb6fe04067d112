"""When a call that is to end may end: after the caller has heard the agent's last words.

How it works. The model asks to hang up or to transfer by a tool, and says goodbye in the same turn
or in the next one. The goodbye is over when a turn *with audio* has been produced since the
request (the acknowledgement of a tool has a ``turnComplete`` of its own without audio) or when the
model says nothing more; and it is heard when nothing is left to be played. While the caller speaks
the model has nothing to say, and nobody is hung up on in the middle of a sentence. All of it is
bounded.
"""

from __future__ import annotations

CLOSING_MAX_S = 30.0
"""Bound on saying goodbye and having it heard."""
WAIT_S = 3.0
"""No word within this after the request: it was said before. First audio takes 0.3-1.4 s."""
STARVED_S = 2.0
"""Audio that stops without an end of the turn."""
_POLL_S = 0.1


class Goodbye:
    """The last words of one call."""

    def __init__(self, now: float) -> None:
        self._deadline_s = now + CLOSING_MAX_S
        self._quiet_since_s = now
        self._spoke_s: float | None = None
        self._produced = False
        self._tools_pending = False
        self._caller_speaking = False
        self.check_s = now + WAIT_S
        """When ``is_heard`` is to be asked next."""

    def agent_spoke(self, now: float) -> None:
        """The model sent audio."""
        self._spoke_s, self._produced = now, False
        self.check_s = now + STARVED_S

    def turn_ended(self, now: float) -> None:
        """The model ended a turn; it counts if there was audio in it."""
        if self._spoke_s is not None:
            self.nothing_follows(now)

    def nothing_follows(self, now: float) -> None:
        """No more audio will come."""
        self._produced, self.check_s = True, now

    def interrupted(self, now: float) -> None:
        """The caller spoke into it; the model is given another chance."""
        self._spoke_s, self._produced = None, False
        self._quiet_since_s, self.check_s = now, now + WAIT_S

    def tools_running(self, running: bool, now: float) -> None:
        """While a function runs the model has nothing to say."""
        self._tools_pending = running
        self._quiet_since_s = now
        self.check_s = now

    def caller_speaks(self, speaking: bool, now: float) -> None:
        """While the caller speaks the model listens."""
        self._caller_speaking = speaking
        self._quiet_since_s = now
        self.check_s = now

    def playout_ended(self, now: float) -> None:
        """The caller has heard what there was."""
        self.check_s = now

    def is_heard(self, now: float, *, pending_ms: float) -> bool:
        """Whether the call may end; otherwise ``check_s`` says when to ask again."""
        if now >= self._deadline_s:
            return True
        if pending_ms > 0:
            until_s = now + pending_ms / 1000
        elif self._produced:
            return True
        elif self._tools_pending or (self._caller_speaking and self._spoke_s is None):
            until_s = self._deadline_s
        elif self._spoke_s is not None:
            until_s = self._spoke_s + STARVED_S
        else:
            until_s = self._quiet_since_s + WAIT_S
        if pending_ms <= 0 and now >= until_s:
            return True
        self.check_s = min(max(until_s, now + _POLL_S), self._deadline_s)
        return False
