"""Function calls of a call's earlier workers: what is known of them, and that none is repeated.

A model that is resumed from before its function call may make that call again. The first time it
does, it is answered with what is known; whoever wants it again after that wants it knowingly.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from agent.conversation.record import ToolRecord
from agent.tools.results import error_response

MAY_HAVE_RUN: Final = (
    "This was begun before the telephone line was cut, and may have been carried out: its result "
    "was lost. It has not been done again. Tell the caller so; call it again only if they want "
    "that, knowing this."
)


def unfinished(tools: Iterable[ToolRecord]) -> list[ToolRecord]:
    """Return the calls; those without a result, whose worker is gone, with outcome ``unknown``."""
    return [
        replace(tool, outcome="unknown")
        if tool.response is None and tool.outcome != "cancelled"
        else tool
        for tool in tools
    ]


class EarlierCalls:
    """The calls that the model may make again without knowing of the first time.

    Args:
        tools: All calls of earlier workers.
        known_s: The model knows what was answered before that, since the call was answered.
    """

    def __init__(self, tools: Iterable[ToolRecord], *, known_s: float) -> None:
        # Oldest first: what was called twice may be called twice again.
        self._answers: defaultdict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        for tool in unfinished(tools):
            if tool.outcome == "unknown":
                answer = error_response(MAY_HAVE_RUN)
            elif tool.response is not None and tool.ended_s > known_s:
                answer = tool.response
            else:
                continue
            self._answers[call_key(tool.name, tool.args)].append(answer)

    def answer(self, name: str, args: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what such a call is to be answered with, once; None where it is to be run."""
        answers = self._answers.get(call_key(name, args))
        return answers.popleft() if answers else None


def call_key(name: str, args: Mapping[str, Any]) -> tuple[str, str]:
    """Return what two calls have in common that ask for the same."""
    return name, json.dumps(args, sort_keys=True, default=str)
