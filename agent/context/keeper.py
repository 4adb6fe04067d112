"""Keeps the running summary beside a call: asks the text model, off the media path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from agent.context.asking import RESPONSE_SCHEMA
from agent.context.running import Asked, RunningSummary
from agent.context.text_model import TextModel, TextModelFailed
from agent.conversation.record import SummaryMade, SummaryRecord
from agent.spec import SummarySettings

_log = structlog.get_logger()


class Unfolded(Protocol):
    """Who knows what was said."""

    def unfolded(self, covered: int) -> tuple[int, list[str]]:
        """Return what a summary of the first ``covered`` turns lacks.

        Returns:
            How many turns it would cover then, and the lines to fold in, oldest first: all but
            those of the newest turns, which may still go on and are told word for word anyway.
        """


class SummaryKeeper:
    """Keeps a summary beside a call; nothing it does is waited for.

    Args:
        settings: How often, how long, how large.
        model: Asked where there is one; else facts are kept word for word.
        source: Who knows what was said.
        spawn: Runs a task that ends with the session.
        now_s: Seconds since the call was answered, as in the records.
        summary: The one from the call's checkpoint.
        on_made: Told of each attempt when it is over.
    """

    def __init__(
        self,
        settings: SummarySettings,
        *,
        model: TextModel | None,
        source: Unfolded,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        now_s: Callable[[], float],
        summary: SummaryRecord | None = None,
        on_made: Callable[[SummaryMade], None] | None = None,
    ) -> None:
        self._timeout_s = settings.timeout_s
        self._model = model
        self._source = source
        self._spawn = spawn
        self._now_s = now_s
        self._running = RunningSummary(
            settings,
            model=model.name if model is not None else None,
            summary=summary,
            on_made=on_made,
        )

    @property
    def summary(self) -> SummaryRecord | None:
        """The last good one; its ``turns`` says how much it covers."""
        return self._running.summary

    @property
    def made(self) -> list[SummaryMade]:
        """The newest attempts, oldest first."""
        return self._running.made

    @property
    def tokens(self) -> int:
        """What the text model has cost."""
        return self._running.tokens

    @property
    def version(self) -> int:
        """Changes when what ``render`` tells has changed."""
        return self._running.version

    @property
    def in_flight(self) -> bool:
        """Whether the text model is being asked; never twice at once."""
        return self._running.asked is not None

    def turn_over(self) -> None:
        """A turn of either side was completed."""
        self._running.turn_over()
        self._look()

    def cut_near(self) -> None:
        """The server will soon cut: bring the summary up to date now."""
        self._running.cut_near()
        self._look()

    def _look(self) -> None:
        if not self._running.due:
            return
        covered, lines = self._source.unfolded(self._running.covered)
        asked = self._running.begin(covered, lines, at_s=self._now_s())
        if asked is not None:
            assert self._model is not None
            self._spawn(self._ask(self._model, asked))

    async def _ask(self, model: TextModel, asked: Asked) -> None:
        running = self._running
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await model.generate(asked.prompt, schema=RESPONSE_SCHEMA)
            running.answered(answer.text, answer.tokens, now_s=self._now_s())
        except TimeoutError:
            detail = f"no answer within {self._timeout_s:g} s"
            running.failed("timeout", detail, now_s=self._now_s())
        except TextModelFailed as error:
            running.failed(
                "failed",
                str(error),
                tokens=error.tokens,
                retryable=error.retryable,
                now_s=self._now_s(),
            )
        except asyncio.CancelledError:
            running.abandoned()
            raise
        except Exception as error:  # noqa: BLE001  # the edge of a task: a bug costs a summary, not the call
            # Its text may hold what was said.
            _log.warning("summary.failed", error=type(error).__name__)
            if running.asked is not None:
                running.failed("failed", type(error).__name__, now_s=self._now_s())
        # Turns have come meanwhile, or a cut.
        self._look()
