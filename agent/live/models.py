"""What each Live model accepts and refuses.

Models differ in which message takes text, whether tools block, how thinking is set, and what
breaks them. One profile per generation; an unknown model gets the newest one and is left to the
server to refuse. Sources: ai.google.dev/gemini-api/docs/models (3.8, 3.1),
google-gemini/gemini-skills, and where marked "observed" reports of users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal


class TextPath(StrEnum):
    """The message that carries text to the model."""

    REALTIME_INPUT = "realtime_input"
    CLIENT_CONTENT = "client_content"


class SeedPath(StrEnum):
    """How a fresh session is told what was said before (live-api.md 7)."""

    INITIAL_HISTORY = "initial_history"
    """``historyConfig.initialHistoryInClientContent``, then one ``clientContent``."""
    CLIENT_CONTENT = "client_content"
    """One ``clientContent`` that asks for no answer."""
    SYSTEM_INSTRUCTION = "system_instruction"


class UpdatePath(StrEnum):
    """How a model is told something in the middle of a conversation that asks for no answer."""

    SYSTEM_CONTENT = "system_content"
    """``clientContent`` with the role ``system`` (documented for Vertex only)."""
    CONTEXT_UPDATE = "context_update"
    """``contextUpdate``: a new system instruction."""
    NEXT_MOVE = "next_move"
    """Not at all: in the setup of the next connection."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How to talk to one generation of models."""

    family: str
    opening_text: TextPath
    """For the first words, before any audio was sent."""
    text: TextPath
    """For words in the middle of the conversation."""
    tool_behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    """Declared with every function; None leaves the model's default, which is blocking."""
    response_scheduling: Literal["INTERRUPT"] | None = None
    """Sent with every tool response where tools do not block."""
    thinking: Literal["none", "budget", "level"] = "none"
    default_thinking_level: Literal["low"] | None = None
    """For models that refuse a setup without a level."""
    holds_audio_during_tools: bool = False
    """Caller audio sent while a function runs may close the connection."""
    window_tokens: int = 131_072
    """What the context holds (ai.google.dev/gemini-api/docs/models; live-api.md 5.1)."""
    trigger_share: float = 0.8
    """Of the window: where compression begins unless the agent says otherwise."""
    seed: SeedPath = SeedPath.SYSTEM_INSTRUCTION
    update: UpdatePath = UpdatePath.NEXT_MOVE


# clientContent is refused after the first turn on 3.1 (1007) and interrupts on 3.8, so 3.x gets
# realtime text throughout. 3.8 runs tools NON_BLOCKING unless told otherwise, and then its answer
# may come before the result; BLOCKING avoids that (observed, livekit/agents#4644, pydantic-ai).
_GEMINI_3_8 = ModelProfile(
    family="3.8",
    opening_text=TextPath.REALTIME_INPUT,
    text=TextPath.REALTIME_INPUT,
    tool_behavior="BLOCKING",
    seed=SeedPath.INITIAL_HISTORY,
    update=UpdatePath.CONTEXT_UPDATE,
)
# Function calling is asynchronous only; a result that waits for silence is never spoken while
# audio flows, so it interrupts.
_GEMINI_3_8_THINKING = replace(
    _GEMINI_3_8,
    family="3.8-extended-thinking",
    tool_behavior="NON_BLOCKING",
    response_scheduling="INTERRUPT",
    thinking="level",
    default_thinking_level="low",
)
# Initial history was seen to close 3.1 with 1007 in production (voiceclaw), so it is told in the
# instruction. It does not obey targetTokens and grew to 2.8 times its trigger before it cut
# (discuss.ai.google.dev/t/147228): the trigger leaves room for that.
_GEMINI_3_1 = ModelProfile(
    family="3.1",
    opening_text=TextPath.REALTIME_INPUT,
    text=TextPath.REALTIME_INPUT,
    thinking="level",
    trigger_share=0.3,
)
# Audio or text during a pending call closes 2.5 with 1008 "Operation is not implemented" in a
# fraction of calls (observed, googleapis/js-genai#1236); not on Vertex. The Developer API's 2.5
# passes over seeded history at the first question in audio (discuss.ai.google.dev/t/111617).
_GEMINI_2_5 = ModelProfile(
    family="2.5",
    opening_text=TextPath.CLIENT_CONTENT,
    text=TextPath.REALTIME_INPUT,
    thinking="budget",
    holds_audio_during_tools=True,
)
_GEMINI_2_5_VERTEX = replace(
    _GEMINI_2_5,
    family="2.5-vertex",
    holds_audio_during_tools=False,
    seed=SeedPath.CLIENT_CONTENT,
    update=UpdatePath.SYSTEM_CONTENT,
)
# The half-cascade model: 32k.
_HALF_CASCADE = replace(_GEMINI_2_5_VERTEX, family="2.5-half-cascade", window_tokens=32_768)

_FAMILIES: tuple[tuple[re.Pattern[str], ModelProfile, ModelProfile], ...] = (
    (re.compile(r"gemini-3\.8-.*extended-thinking"), _GEMINI_3_8_THINKING, _GEMINI_3_8_THINKING),
    (re.compile(r"gemini-3\.[01]\b|gemini-3-"), _GEMINI_3_1, _GEMINI_3_1),
    (re.compile(r"gemini-live-2\.5-flash$"), _HALF_CASCADE, _HALF_CASCADE),
    (re.compile(r"gemini-(live-)?2\."), _GEMINI_2_5, _GEMINI_2_5_VERTEX),
)


def profile_for(model: str, *, vertexai: bool) -> ModelProfile:
    """Find the profile of ``model``, written with or without its ``models/`` prefix."""
    name = model.rpartition("/")[2]
    for pattern, developer, vertex in _FAMILIES:
        if pattern.match(name):
            return vertex if vertexai else developer
    return _GEMINI_3_8
