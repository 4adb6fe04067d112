"""An agent with everything that a call needs of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.audio import PcmChunk
from agent.context.text_model import TextModel
from agent.conversation.redaction import Redactor
from agent.spec import AgentSpec
from agent.tools.declarations import Tool
from telephony.calls.twiml import Spoken

if TYPE_CHECKING:
    from pipecat.processors.frame_processor import FrameProcessor

Makers = tuple[Callable[[], "FrameProcessor"], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedAgent:
    """An agent that can be used, with all that belongs to it."""

    spec: AgentSpec
    tools: Mapping[str, Tool]
    """Its own; built-in ones are made for each call."""
    filler: PcmChunk
    caller_processors: Makers
    agent_processors: Makers
    redactor: Redactor
    text_model: TextModel | None = None
    """Keeps the running summaries; None keeps sentences with facts."""

    @property
    def apology(self) -> Spoken:
        """What the caller hears where it cannot go on."""
        return self.spoken(self.spec.apology)

    @property
    def announcement(self) -> Spoken | None:
        """Said before the stream is opened, such as that the call is recorded."""
        recording = self.spec.recording
        if not recording.enabled or recording.announcement is None:
            return None
        return self.spoken(recording.announcement)

    def spoken(self, text: str) -> Spoken:
        """A text for the carrier's own voice."""
        spec = self.spec
        return Spoken(text, spec.apology_language or spec.language, spec.apology_voice)
