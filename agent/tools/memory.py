"""The built-in tool that pins a fact where no compression cuts it."""

from __future__ import annotations

from collections.abc import Callable

from agent.context.facts import Facts
from agent.spec import AgentSpec
from agent.tools.declarations import Tool, ToolArgumentError, declare


def memory_tools(spec: AgentSpec, facts: Facts, now_s: Callable[[], float]) -> dict[str, Tool]:
    """Return ``remember``, by name, where the spec names it.

    Args:
        spec: The agent.
        facts: Of the call.
        now_s: Seconds since the call was answered.
    """
    if "remember" not in spec.tools:
        return {}

    async def remember(key: str, value: str) -> str:
        """Keep a fact for the rest of the call, however long it lasts.

        Use it as soon as the caller tells you a name, a number, a date, an amount or a wish that
        will matter later, and for what you have promised. A key used again gets the new value.
        """
        try:
            facts.remember(key, value, at_s=now_s())
        except ValueError as error:
            raise ToolArgumentError(str(error)) from error
        return "noted"

    return {"remember": declare(remember, reference="remember")}
