"""What goes wrong with one request to the REST API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestFault:
    """Late, refused, or carried out although the answer says otherwise or does not come in time."""

    delay_s: float = 0.0
    """Passes before anything is done."""
    answer_delay_s: float = 0.0
    """Passes when it is done: whoever has given up by then cannot know that it was."""
    code: int = 0
    """One of Twilio's error codes, answered in place of what came of it."""
    carried_out: bool = False
    """Whether it is done all the same where ``code`` is set."""
