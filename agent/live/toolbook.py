"""Function calls of a session across its connections: each runs once, each result is told once.

A call's id is known only to the connection that made it (observed: yagudaev/voiceclaw#53). When
that connection is left, the call becomes an *orphan*: it runs on, and its result is told to the
next connection as text. Where that one asks for the same function with the same arguments
meanwhile, it is given the running one instead of a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agent.commands import ToolResponse
from agent.events import FunctionCall
from agent.tools.earlier import call_key


@dataclass(frozen=True, slots=True)
class Delivery:
    """How results are to reach the model."""

    responses: tuple[ToolResponse, ...]
    """In one ``toolResponse``."""
    told: tuple[ToolResponse, ...]
    """As text: the connection does not know these calls."""


class ToolBook:
    """Every call that is not answered yet."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._pending: dict[str, FunctionCall] = {}
        self._orphans: dict[str, FunctionCall] = {}
        # The id by which this connection knows a call that another one made.
        self._adopted: dict[str, str] = {}

    @property
    def pending(self) -> frozenset[str]:
        """Ids this connection waits for; it must not be sent text meanwhile."""
        return frozenset(self._pending) | frozenset(self._adopted.values())

    @property
    def running(self) -> bool:
        """Whether any function runs, whoever asked for it."""
        return bool(self._pending or self._orphans)

    @property
    def orphans(self) -> frozenset[str]:
        """Ids of calls that run on although their connection is gone."""
        return frozenset(self._orphans)

    def requested(self, calls: Iterable[FunctionCall]) -> tuple[FunctionCall, ...]:
        """Note what the model asks for; return the calls to run."""
        to_run: list[FunctionCall] = []
        for call in calls:
            again = call.id in self._orphans and call.id not in self._adopted
            if call.id in self._seen and not again:
                continue
            self._seen.add(call.id)
            orphan = self._find_orphan(call)
            if orphan is not None:
                self._adopted[orphan] = call.id
            else:
                self._pending[call.id] = call
                to_run.append(call)
        return tuple(to_run)

    def connection_left(self) -> None:
        """The connection that asked is gone."""
        self._orphans |= self._pending
        self._pending = {}
        self._adopted = {}

    def answered(self, responses: Iterable[ToolResponse]) -> Delivery:
        """Sort results by how they reach the model; what was cancelled reaches it no more."""
        known: list[ToolResponse] = []
        told: list[ToolResponse] = []
        for response in responses:
            if self._pending.pop(response.id, None) is not None:
                known.append(response)
            elif self._orphans.pop(response.id, None) is not None:
                adopted_as = self._adopted.pop(response.id, None)
                if adopted_as is None:
                    told.append(response)
                else:
                    known.append(replace(response, id=adopted_as))
        return Delivery(tuple(known), tuple(told))

    def cancelled(self, ids: Iterable[str]) -> tuple[str, ...]:
        """The model takes calls back; return the ids to stop, as their runner knows them."""
        adopted = {new: old for old, new in self._adopted.items()}
        stopped: list[str] = []
        for call_id in ids:
            known_as = adopted.get(call_id, call_id)
            if self._pending.pop(known_as, None) or (
                known_as in self._adopted and self._orphans.pop(known_as, None)
            ):
                self._adopted.pop(known_as, None)
                stopped.append(known_as)
        return tuple(stopped)

    def _find_orphan(self, call: FunctionCall) -> str | None:
        free = [call_id for call_id in self._orphans if call_id not in self._adopted]
        if call.id in free:
            return call.id
        key = _key(call)
        return next((call_id for call_id in free if _key(self._orphans[call_id]) == key), None)


def _key(call: FunctionCall) -> tuple[str, str]:
    return call_key(call.name, call.args)
