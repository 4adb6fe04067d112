"""Function calls of one session: their ids, which are open, and what waits for their answers."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass

from workers.twin.live_api.messages import FunctionAnswer
from workers.twin.live_api.profiles import Profile
from workers.twin.live_api.replies import Reply
from workers.twin.live_api.script import CallTool


@dataclass(slots=True, eq=False)
class OpenCalls:
    """The calls of one ``toolCall`` message, and the reply that waits for their answers."""

    step: CallTool
    asked_in: Reply
    """The turn that made the calls; an interruption of it cancels them."""
    waits: Reply
    """What goes on once all are answered; the same turn where the calls keep it open."""
    blocking: bool
    waiting: set[str]
    failed: bool = False
    scheduling: str = ""


class CallBook:
    """Every open call of a session."""

    def __init__(self, profile: Profile, random_: random.Random) -> None:
        self._profile = profile
        self._random = random_
        self._open: dict[str, OpenCalls] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def blocking(self) -> bool:
        """Whether the model must be silent until a call is answered."""
        return any(calls.blocking for calls in self._open.values())

    def new_id(self) -> str:
        """Return a call id as this profile writes it (recorded for 2.5, 3.1 and Vertex)."""
        if self._profile.call_id == "uuid":
            return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        return f"{self._profile.call_id}{self._random.randrange(10**18, 10**19)}"

    def open(self, calls: OpenCalls) -> None:
        """Wait for the answers of ``calls``."""
        for call_id in calls.waiting:
            self._open[call_id] = calls

    def knows(self, call_id: str) -> bool:
        """Tell whether this call is open."""
        return call_id in self._open

    def answer(self, answer: FunctionAnswer) -> OpenCalls | None:
        """Take in one answer; return its calls if it was the last one they waited for."""
        if answer.will_continue:
            return None
        calls = self._open.pop(answer.id)
        calls.waiting.discard(answer.id)
        calls.failed = calls.failed or "error" in answer.response
        calls.scheduling = answer.scheduling or calls.scheduling
        return None if calls.waiting else calls

    def cancel(self, interrupted: Reply | None) -> list[str]:
        """Forget what an interruption cancels: blocking calls, and calls of that turn."""
        cancelled = [
            call_id
            for call_id, calls in self._open.items()
            if calls.blocking or calls.asked_in is interrupted
        ]
        for call_id in cancelled:
            del self._open[call_id]
        return cancelled
