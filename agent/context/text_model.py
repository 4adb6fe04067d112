"""What keeps the running summary needs of a text model: text in, JSON text out, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.errors import AgentError


class TextModelFailed(AgentError):
    """A text model gave no usable answer; the text is a sentence for the operator.

    Args:
        message: What went wrong.
        retryable: A later request may succeed, or one with other words; else each meets the same
            until somebody mends a setting.
        setting: The setting to look at: an environment variable or a field of the agent's file.
        tokens: What the attempt cost all the same; 0 where nothing was counted.
    """

    def __init__(
        self, message: str, *, retryable: bool, setting: str | None = None, tokens: int = 0
    ) -> None:
        self.retryable = retryable
        self.setting = setting
        self.tokens = tokens
        super().__init__(f"{setting}: {message}" if setting else message)


@dataclass(frozen=True, slots=True)
class Generated:
    """One answer of a text model."""

    text: str
    """JSON in the shape that was asked for, as far as the model keeps to it: check it."""
    tokens: int
    """Prompt and answer together, as the model counted them."""


class TextModel(Protocol):
    """A model that answers a prompt once."""

    @property
    def name(self) -> str:
        """The model's name, as the agent's file gives it."""

    async def generate(self, prompt: str, *, schema: Mapping[str, Any]) -> Generated:
        """Answer ``prompt`` in the shape of ``schema`` (JSON Schema).

        May be cancelled at any moment; has no time-out of its own that a caller could rely on.

        Raises:
            TextModelFailed: there is no answer; it says why.
        """
