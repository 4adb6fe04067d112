"""Recipes as frozen data: what goes wrong, what the caller does meanwhile, and what must hold."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from agent.conversation.record import EndReason, MoveCause, MoveMoment
from agent.spec import AgentSpec
from workers.twin.caller import CallerScript
from workers.twin.live_api.faults import Fault
from workers.twin.live_api.profiles import Profile, profile_of
from workers.twin.live_api.script import LiveScript

CONFIG = ConfigDict(extra="forbid", str_strip_whitespace=True)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Model = Annotated[str, Field(pattern=r"^[\w./-]+$")]
Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model that a recipe is run with."""

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG
    model: Model = "gemini-3.8-live"
    vertex: bool = False

    @property
    def profile(self) -> Profile | None:
        """What the twin knows of the model; None where it knows no such model."""
        path = f"{'publishers/google/' if self.vertex else ''}models/{self.model}"
        return profile_of(path, vertex=self.vertex)


@dataclass(frozen=True, slots=True)
class ExpectedMove:
    """What a reset report must say; a field left out is not judged."""

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG
    cause: MoveCause | None = None
    moment: MoveMoment | None = None
    kind: Literal["resume", "refill", "standby", "none"] | None = None
    """``none`` where no connection was to be found."""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """What must hold in this recipe, beside what holds in all; None and empty are not judged."""

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG
    moves: tuple[ExpectedMove, ...] | None = None
    gap_ms: Milliseconds | None = None
    """The most that each reset report may say."""
    gap_heard_ms: Milliseconds | None = None
    """The most for each move as the phone heard it, whatever the reports say."""
    lost_ms: Milliseconds = 0.0
    """Caller audio."""
    connections: Count | None = None
    """Dials of the Live API, those included that were refused."""
    open_at_once: Count = 1
    dials_apart_s: Seconds | None = None
    """The least time between the end of a connection and the next one."""
    answers: tuple[Count, ...] = ()
    """First numbers of lines of the model that were heard whole, in this order."""
    tools: Mapping[str, Count] | None = None
    """How often each tool ran."""
    end_reason: EndReason = EndReason.CALLER_HUNG_UP
    person: bool | None = None
    """Whether the caller spoke to the number behind ``moves.person``."""
    apology: bool | None = None
    fillers: Count | None = None
    told: tuple[Pattern, ...] = ()
    """In the instruction or the texts of the last connection."""
    never_told: tuple[Pattern, ...] = ()
    knows: tuple[Pattern, ...] = ()
    """In what the last session remembers, by whichever way it came to know."""


@dataclass(frozen=True, slots=True)
class Callee:
    """Who answers when the caller is put through."""

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG
    answers: bool = True
    after_s: Seconds = 0.3


@dataclass(frozen=True, slots=True)
class Recipe:
    """One failure to rehearse."""

    name: str
    title: str
    what_must_hold: str
    """A sentence for the operator."""
    agent: AgentSpec
    live: LiveScript
    caller: CallerScript
    expect: Expect = Expect()
    faults: tuple[Fault, ...] = ()
    variant: Variant = Variant()
    also_models: tuple[Variant, ...] = ()
    seed: int = 0
    time_scale: float = 1.0
    """How much faster than real time the Live side's long times pass."""
    setup_s: float = 0.5
    """What the twin takes for a fresh session."""
    resume_s: float = 0.3
    callee: Callee = Callee()
    repeat: int = 1
    """Calls, each against twins of its own."""

    @property
    def profile(self) -> Profile:
        """What the twin knows of the model."""
        found = self.variant.profile
        assert found is not None, "the loader lets no unknown model through"
        return found

    @property
    def silence_ms(self) -> int:
        """How long the model waits before it takes the caller's turn for ended."""
        wanted = self.agent.vad.silence_duration_ms
        honoured = wanted is not None and self.profile.honours_silence
        return wanted if honoured and wanted is not None else self.profile.silence_ms

    def variants(self) -> list[Recipe]:
        """Return the recipe for each of its models, its own first."""
        return [self.with_model(variant) for variant in (self.variant, *self.also_models)]

    def with_model(self, variant: Variant) -> Recipe:
        """Return the same recipe for another model."""
        agent = dataclasses.replace(self.agent, model=variant.model)
        return dataclasses.replace(self, variant=variant, agent=agent)
