"""How a call ended, as its caller has it."""

from __future__ import annotations

from typing import Final

from workers.loadtest.measured import Ending
from workers.twin.performer import StepTimedOut
from workers.twin.twilio_api.result import CallResult

# Twilio's debugger says so of every stream that its server closes, in order or not.
_CLOSED_BY_SERVER: Final = 31921
# A status callback that failed comes last where the webhook did, and refuses nothing.
_STATUS_UNTOLD: Final = 15003
_NO_CAUSES: Final = frozenset({_CLOSED_BY_SERVER, _STATUS_UNTOLD})


def ending_of(call: CallResult, *, stopped: bool) -> tuple[Ending, str]:
    """Judge how a call ended; in words where it was not well.

    Args:
        call: One that is over.
        stopped: The test was broken off while it was under way.
    """
    why = next((str(event.data.get("why", "")) for event in call.named("ended")), "")
    warned = [text for code, text in call.warnings if code != _CLOSED_BY_SERVER]
    causes = [text for code, text in call.warnings if code not in _NO_CAUSES]
    if not call.voices and not stopped:
        return Ending.REFUSED, "; ".join(causes[-1:]) or f"{call.status}: {why or 'no stream'}"
    if given_up := _given_up(call):
        return Ending.DROPPED, given_up
    if call.script_finished and call.named("hung_up"):
        return Ending.COMPLETED, ""
    # The agent may hang up as well: in order, and without an apology of its worker's.
    if why == "Hangup" and not call.named("say") and not warned:
        return Ending.COMPLETED, ""
    if stopped:
        return Ending.STOPPED, ""
    return Ending.DROPPED, "; ".join([f"{call.status}: {why or 'ended'}", *warned[-1:]])


def _given_up(call: CallResult) -> str:
    for event in call.named("script"):
        shown = str(event.data.get("doing", ""))
        if shown.startswith(StepTimedOut.__name__):
            return f"the caller gave up waiting: {shown}"
    return ""
