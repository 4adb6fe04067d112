"""Runs the tools a model calls: time-out, cancellation, and one answer to each call.

A ``toolCall`` message is a batch: its calls run at once and are answered in one message when the
last of them is done. A call that was cancelled is not answered; a batch without any answer left
sends none. Whatever a tool does, the call goes on: errors become answers the model can talk about.
A tool that ignores its cancellation is answered for all the same and left to finish by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import structlog
from google.genai import types

from agent.commands import ToolResponse
from agent.conversation.record import ToolRecord
from agent.events import FunctionCall
from agent.spec import CALL_CONTROL_TOOLS
from agent.tools.declarations import Tool, ToolArgumentError
from agent.tools.earlier import EarlierCalls
from agent.tools.results import error_response, output_response

# More calls at once than this are a model gone wrong; they are answered with an error.
MAX_RUNNING = 32
# How long a call that ends waits for tools that do not stop when told to.
CLOSE_TIMEOUT_S = 2.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClosingRequested:
    """The model wants the call to end, here (``end_call``) or at another number."""

    kind: Literal["end_call", "transfer_call"]
    transfer_to: str | None = None
    answer: str = ""
    """What the model is told as the tool's result."""


@dataclass(frozen=True, slots=True)
class ToolAnswers:
    """The answers to one ``toolCall`` message, and what else its tools asked for."""

    responses: tuple[ToolResponse, ...]
    """To be sent in one message; never empty."""
    closing: ClosingRequested | None = None


@dataclass(eq=False, slots=True)
class _Running:
    record: ToolRecord
    batch: _Batch
    task: asyncio.Task[_Result] | None = None
    timer: asyncio.TimerHandle | None = None
    done: bool = False
    closing: ClosingRequested | None = None


@dataclass(eq=False, slots=True)
class _Batch:
    calls: list[_Running] = field(default_factory=list)
    open: int = 0


@dataclass(frozen=True, slots=True)
class _Result:
    response: dict[str, Any]
    outcome: Literal["ok", "error"] = "ok"
    closing: ClosingRequested | None = None


class ToolRunner:
    """Runs the tools of one call. Belongs to one event loop; ``close`` it when the call ends.

    Args:
        tools: By name.
        timeout_s: How long one tool may take.
        clock: Monotonic seconds, for the records.
        origin_s: The clock's reading when the call was answered; records count from it.
        journal: Awaited before a function runs, so that it is known to have been begun even if this
            process dies; bounds its own time. Not for those built in to control the call.
        earlier: Calls of workers that served this call before; what they have begun is not begun
            again.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        origin_s: float | None = None,
        journal: Callable[[ToolRecord], Awaitable[None]] | None = None,
        earlier: EarlierCalls | None = None,
    ) -> None:
        self.records: list[ToolRecord] = []
        """Every call so far, in the order they started; one that runs has no response yet."""
        self.on_change: Callable[[], None] = lambda: None
        """Told when one of them has started or is over."""
        self._tools = dict(tools)
        self._journal = journal
        self._earlier = earlier
        self._timeout_s = timeout_s
        self._clock = clock
        self._origin_s = clock() if origin_s is None else origin_s
        self._unanswered: set[_Running] = set()
        self._by_id: dict[str, _Running] = {}
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[_Result]] = set()
        # Bound: nobody takes answers any more if so many wait; the newest is dropped.
        self._answers: asyncio.Queue[_Batch] = asyncio.Queue(256)
        self._closed = False

    @property
    def declarations(self) -> list[types.FunctionDeclaration]:
        """What the model is told about the tools."""
        return [tool.declaration for tool in self._tools.values()]

    @property
    def pending(self) -> int:
        """Calls whose answer has not been taken yet."""
        return len(self._unanswered)

    def start(self, calls: Sequence[FunctionCall]) -> None:
        """Run the calls of one ``toolCall`` message; an id seen before is not run again."""
        if self._closed:
            return
        batch = _Batch()
        accepted: list[tuple[_Running, FunctionCall]] = []
        for call in calls:
            if call.id in self._seen:
                _log.warning("tool.repeated", tool=call.name)
                continue
            now_s = self._now()
            record = ToolRecord(call.id, call.name, dict(call.args), now_s, now_s, "ok")
            self.records.append(record)
            running = _Running(record, batch)
            batch.calls.append(running)
            accepted.append((running, call))
            if call.id:
                # Some Vertex and older models leave the id out; those cannot be told apart.
                self._seen.add(call.id)
                self._by_id[call.id] = running
        batch.open = len(accepted)
        if accepted:
            self.on_change()
        loop = asyncio.get_running_loop()
        for running, call in accepted:
            self._unanswered.add(running)
            if len(self._tasks) >= MAX_RUNNING:
                self._finish(running, {"error": "too many calls at once"}, "error")
                continue
            running.task = loop.create_task(
                self._call(call, running.record), name=f"tool:{call.name}"
            )
            running.timer = loop.call_later(self._timeout_s, self._timed_out, running)
            self._tasks.add(running.task)
            running.task.add_done_callback(partial(self._task_done, running))

    def cancel(self, ids: Iterable[str]) -> None:
        """Stop these calls; they are not answered, whether they were done by now or not."""
        for call_id in ids:
            running = self._by_id.get(call_id)
            if running is None:
                continue
            self._forget(running)
            # A call that ran to its end keeps its outcome: what it did, it did.
            self._finish(running, None, "cancelled")
            if running.task is not None:
                running.task.cancel()

    async def next_answers(self) -> ToolAnswers:
        """Wait until the calls of one message are done; cancelled ones are left out."""
        while True:
            batch = await self._answers.get()
            left = [running for running in batch.calls if running in self._unanswered]
            for running in left:
                self._forget(running)
            if left:
                responses = tuple(
                    ToolResponse(r.record.call_id, r.record.name, r.record.response or {})
                    for r in left
                )
                closing = next((r.closing for r in left if r.closing is not None), None)
                return ToolAnswers(responses, closing)

    async def close(self) -> None:
        """Cancel what runs and wait for it, at most ``CLOSE_TIMEOUT_S``."""
        self._closed = True
        for running in list(self._unanswered):
            self._forget(running)
            self._finish(running, None, "cancelled")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
            for task in stuck:
                _log.error("tool.ignores_cancellation", task=task.get_name())

    async def _call(self, call: FunctionCall, record: ToolRecord) -> _Result:
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _Result(
                error_response(f"there is no tool {call.name}; there are: {known}"), "error"
            )
        # Who ends a call that was to be ended already does no harm.
        if call.name not in CALL_CONTROL_TOOLS:
            answer = None if self._earlier is None else self._earlier.answer(call.name, call.args)
            if answer is not None:
                _log.warning("tool.not_repeated", tool=call.name)
                return _Result(answer, "error" if "error" in answer else "ok")
            await self._note(record)
        try:
            result = await tool.function(**tool.arguments(call.args))
            if isinstance(result, ClosingRequested):
                return _Result({"output": result.answer}, closing=result)
            return _Result(output_response(result))
        except ToolArgumentError as error:
            return _Result(error_response(str(error)), "error")
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the edge of a task: tools are the operator's code
            _log.warning("tool.failed", tool=call.name, exc_info=True)
            message = f"{type(error).__name__}: {error}" if str(error) else repr(error)
            return _Result(error_response(message), "error")

    async def _note(self, record: ToolRecord) -> None:
        """Have it known that this function was begun, before it is."""
        if self._journal is None:
            return
        try:
            await self._journal(record)
        except Exception:  # noqa: BLE001  # a note that fails must not keep a function from running
            _log.warning("tool.not_noted", tool=record.name, exc_info=True)

    def _task_done(self, running: _Running, task: asyncio.Task[_Result]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Without effect if it was us; a tool may also raise CancelledError by itself.
            self._finish(running, {"error": "the tool was cancelled"}, "error")
        elif (error := task.exception()) is not None:
            self._finish(running, {"error": type(error).__name__}, "error")
        else:
            result = task.result()
            if not running.done:
                running.closing = result.closing
            self._finish(running, result.response, result.outcome)

    def _timed_out(self, running: _Running) -> None:
        _log.warning("tool.timed_out", tool=running.record.name, timeout_s=self._timeout_s)
        message = f"no result after {self._timeout_s:g} seconds"
        self._finish(running, {"error": message}, "timeout")
        if running.task is not None:
            running.task.cancel()

    def _finish(
        self,
        running: _Running,
        response: dict[str, Any] | None,
        outcome: Literal["ok", "error", "timeout", "cancelled"],
    ) -> None:
        if running.done:
            return
        running.done = True
        if running.timer is not None:
            running.timer.cancel()
        running.record.outcome = outcome
        running.record.response = response
        running.record.ended_s = self._now()
        self.on_change()
        running.batch.open -= 1
        if running.batch.open == 0:
            try:
                self._answers.put_nowait(running.batch)
            except asyncio.QueueFull:
                _log.error("tool.answers_not_taken", tool=running.record.name)

    def _forget(self, running: _Running) -> None:
        self._unanswered.discard(running)
        self._by_id.pop(running.record.call_id, None)

    def _now(self) -> float:
        return self._clock() - self._origin_s
