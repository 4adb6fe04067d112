"""A text model that answers what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.context.text_model import Generated


class FakeTextModel:
    """Gives its answers in order, an exception by raising it; the last one again and again."""

    def __init__(
        self, *answers: str | Exception, name: str = "text-model", tokens: int = 10
    ) -> None:
        self.name = name
        self.answers = list(answers)
        self.tokens = tokens
        self.prompts: list[str] = []
        self.schemas: list[Mapping[str, Any]] = []
        self.open = asyncio.Event()
        """Answers wait for it."""
        self.open.set()
        self.running = 0
        self.most_running = 0

    async def generate(self, prompt: str, *, schema: Mapping[str, Any]) -> Generated:
        self.prompts.append(prompt)
        self.schemas.append(schema)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Generated(answer, self.tokens)
