"""What is kept of a session's context: its size over time, cuts, summaries, updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeVar

from agent.context.budget import ContextBudget
from agent.conversation.record import (
    ContextRecord,
    ContextSample,
    CutRecord,
    SummaryMade,
    UpdateRecord,
)
from agent.live.models import UpdatePath

T = TypeVar("T")

MAX_SAMPLES = 600
"""More than a screen has points; when they are all there, every second one goes."""
MAX_NOTED = 500
"""Cuts, summaries and updates each: more belong to a call gone wrong."""


class ContextNotes:
    """Keeps the ``ContextRecord`` of a session.

    Args:
        budget: Knows the size of the context.
        now_s: Seconds since the call was answered.
    """

    def __init__(self, budget: ContextBudget, now_s: Callable[[], float]) -> None:
        self._budget = budget
        self._now_s = now_s
        self._record = ContextRecord()
        self._left_s: float | None = None

    @property
    def record(self) -> ContextRecord:
        """The record as it is now, as a copy."""
        kept, budget = self._record, self._budget
        window = budget.window
        return ContextRecord(
            window_tokens=window.window_tokens,
            trigger_tokens=window.trigger_tokens,
            target_tokens=window.target_tokens,
            tokens=budget.tokens,
            most_tokens=budget.most_tokens,
            caller_tokens_per_s=round(budget.caller_tokens_per_s, 1),
            model_tokens_per_s=round(budget.model_tokens_per_s, 1),
            left_s=None if self._left_s is None else round(self._left_s, 1),
            samples=list(kept.samples),
            cuts=list(kept.cuts),
            summaries=list(kept.summaries),
            updates=[replace(update) for update in kept.updates],
        )

    def sampled(self, *, reported: bool) -> None:
        """Note how large the context is."""
        # It goes by what it was asked before.
        self._left_s = self._budget.left_s(self._now_s())
        samples = self._record.samples
        if len(samples) >= MAX_SAMPLES:
            del samples[1::2]
        samples.append(ContextSample(round(self._now_s(), 2), self._budget.tokens, reported))

    def cut(self, before_tokens: int, after_tokens: int, *, ago_s: float = 0.0) -> None:
        """The server has cut the oldest turns off, so long ago."""
        at_s = round(self._now_s() - ago_s, 2)
        _keep(self._record.cuts, CutRecord(at_s, before_tokens, after_tokens))

    def summarised(self, made: SummaryMade) -> None:
        """An attempt to bring the summary up to date is over."""
        _keep(self._record.summaries, made)

    def update(self, kind: Literal["context", "instruction"], path: UpdatePath) -> UpdateRecord:
        """Something is to be told to the model; ``told`` says when it was."""
        update = UpdateRecord(self._now_s(), kind, path.value)
        _keep(self._record.updates, update)
        return update

    def told(self, *, by_move: bool) -> None:
        """The model knows of every update there was."""
        for update in self._record.updates:
            if update.done_s is None:
                update.done_s = self._now_s()
                if by_move:
                    update.how = "next_move"

    def untold(self) -> None:
        """The connection that was told the newest update was closed for it."""
        told = [update for update in self._record.updates if update.done_s is not None]
        if told and told[-1].how != "next_move":
            told[-1].done_s = None


def _keep(kept: list[T], item: T) -> None:
    kept.append(item)
    if len(kept) > MAX_NOTED:
        del kept[0]
