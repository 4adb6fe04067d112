"""Built-in tools that act on the call itself: intents here, carried out by whoever has the phone.

Ending and transferring are not done at once: the caller must hear the goodbye first. These two
report ``ClosingRequested`` and the session ends the call when it is time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from agent.spec import AgentSpec
from agent.tools.declarations import Tool, ToolArgumentError, declare
from agent.tools.runner import ClosingRequested

# Keys of a telephone that people send (ITU-T Q.23 knows A to D beside them); a comma is a pause.
_DIGITS = re.compile(r"(?=.*[0-9*#])[0-9*#,]{1,32}")


class CallControl(Protocol):
    """What a tool may do with the call while it goes on."""

    async def send_digits(self, digits: str) -> None:
        """Send touch tones (0-9, ``*``, ``#``, comma for half a second's pause) to the phone."""

    async def opt_out(self) -> bool:
        """Remember that this number must not be called again; False: it could not, or not yet."""


def built_in_tools(spec: AgentSpec, control: CallControl) -> dict[str, Tool]:
    """Return the built-in tools the spec names, by name, acting on one call."""
    makers: dict[str, Callable[[AgentSpec, CallControl], Tool]] = {
        "end_call": _end_call,
        "transfer_call": _transfer_call,
        "send_digits": _send_digits,
        "opt_out": _opt_out,
    }
    return {name: make(spec, control) for name, make in makers.items() if name in spec.tools}


def _end_call(_spec: AgentSpec, _control: CallControl) -> Tool:
    async def end_call() -> ClosingRequested:
        """Hang up. Use it when the conversation is over or the caller says goodbye."""
        return ClosingRequested(
            "end_call",
            answer="The line is closed after your next words. Say goodbye in one short sentence, "
            "unless you have just done so.",
        )

    return declare(end_call, reference="end_call")


def _transfer_call(spec: AgentSpec, _control: CallControl) -> Tool:
    names = tuple(spec.transfer)

    async def transfer_call(destination: str) -> ClosingRequested:
        """Connect the caller to somebody else. Use it when they ask for a person or need one.

        If nobody answers, the caller comes back to you.
        """
        number = spec.transfer.get(destination)
        if number is None:
            raise ToolArgumentError(f"destination must be one of: {', '.join(names)}")
        return ClosingRequested(
            "transfer_call",
            transfer_to=number,
            answer="The caller is connected after your next words. Say so in one short sentence, "
            "unless you have just done so.",
        )

    tool = declare(transfer_call, reference="transfer_call")
    assert tool.declaration.parameters is not None
    assert tool.declaration.parameters.properties is not None
    tool.declaration.parameters.properties["destination"].enum = list(names)
    return tool


def _send_digits(_spec: AgentSpec, control: CallControl) -> Tool:
    async def send_digits(digits: str) -> str:
        """Press keys on the phone, for example to get through another company's voice menu.

        Allowed are 0-9, * and #; a comma waits for half a second.
        """
        if not _DIGITS.fullmatch(digits):
            raise ToolArgumentError("digits must be 1 to 32 of 0-9, *, # and comma")
        await control.send_digits(digits)
        return "sent"

    return declare(send_digits, reference="send_digits")


def _opt_out(_spec: AgentSpec, control: CallControl) -> Tool:
    async def opt_out() -> str:
        """Note that the caller does not want to be called again. Use it whenever they say so."""
        if await control.opt_out():
            return "noted; this number will not be called again"
        return (
            "not written down yet; it is being tried again by itself. Say that you pass it on, and "
            "do not promise that it is done."
        )

    return declare(opt_out, reference="opt_out")
