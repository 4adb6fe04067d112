"""AgentSpec: one agent as frozen data, read from one YAML file.

The data classes hold no behaviour and may be built by hand; only ``load_agent`` checks them.
Every problem of a file is reported at once, each with file, line and field.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from agent.errors import AgentSpecError, SpecIssue
from agent.text import UNSENDABLE
from agent.yaml_source import FieldPath, YamlSource, did_you_mean, field_name, read_yaml

CALL_CONTROL_TOOLS = ("end_call", "transfer_call", "send_digits", "opt_out")
BUILT_IN_TOOLS = (*CALL_CONTROL_TOOLS, "remember")
# More than 20 tools and models begin to speak their calls as text (reported by users of roomkit).
MAX_TOOLS = 20
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
"""``{{ name }}`` in an instruction or greeting is filled in at the start of a call."""

_CONFIG = ConfigDict(extra="forbid", str_strip_whitespace=True)
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _clean(text: str) -> str:
    if bad := UNSENDABLE.search(text):
        raise ValueError(f"holds the control character {bad.group()!r}")
    return text


def _importable(text: str) -> str:
    if not _IMPORT_PATH.fullmatch(text):
        raise ValueError("must be written module:name")
    return text


def _tool(text: str) -> str:
    if ":" in text:
        return _importable(text)
    if text not in BUILT_IN_TOOLS:
        hint = did_you_mean(text, BUILT_IN_TOOLS)
        raise ValueError(f"is neither module:function nor one of {', '.join(BUILT_IN_TOOLS)}{hint}")
    return text


def _number(text: str) -> str:
    # ITU-T E.164: "+", at most 15 digits, none of which leads with 0.
    if not re.fullmatch(r"\+[1-9]\d{6,14}", text):
        raise ValueError("must be a number in E.164 form, such as +15550100001")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_clean)]
ImportPath = Annotated[str, AfterValidator(_importable)]
# BCP 47, as far as voice services use it: language, then script or region.
LanguageTag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
# Twilio ends a call after 4 hours unless told otherwise (Calls API, TimeLimit).
Seconds = Annotated[float, Field(gt=0, le=14_400, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the agent says first; without a text it waits for the caller."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    text: Text | None = None
    cached: bool = False
    """Keep the greeting's audio after the first call and play it the instant a stream starts."""


@dataclass(frozen=True, slots=True)
class Vad:
    """Voice activity detection on the Live API's side; None leaves the model's default.

    Source: ai.google.dev/api/live (AutomaticActivityDetection). A sensitivity of "medium" exists
    nowhere and closes the connection with 1007.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    start_of_speech_sensitivity: Literal["low", "high"] | None = None
    end_of_speech_sensitivity: Literal["low", "high"] | None = None
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5_000)] | None = None
    silence_duration_ms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    activity_handling: Literal["start_of_activity_interrupts", "no_interruption"] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take before the call does something about it."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    max_call_s: Seconds = 1_800.0
    idle_s: Seconds = 60.0
    """Neither side has spoken for so long: the call ends."""
    answer_timeout_s: Seconds = 10.0
    """The caller stopped speaking, or a greeting was asked for, and the model stays silent."""
    tool_timeout_s: Seconds = 10.0
    connect_timeout_s: Seconds = 10.0
    takeovers: Annotated[int, Field(ge=0, le=100)] = 3
    """So often a stream may be lost under the caller within ``takeovers_within_s`` and another one
    be opened; after that the caller gets a person or the apology. Hand-overs do not count."""
    takeovers_within_s: Seconds = 120.0


@dataclass(frozen=True, slots=True)
class Moves:
    """How a session moves from one Live connection to the next."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    max_age_s: Seconds = 540.0
    """A connection this old is left at the next safe point. The server's cap is about 10 min
    (ai.google.dev/gemini-api/docs/live-session), and not always announced."""
    latency_drift_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Answers so much slower than at the session's start: a fresh session. Seen: from 0.3 to 1.4 s
    within minutes, cured by a new session (discuss.google.dev/t/345274)."""
    budget_s: Annotated[float, Field(ge=2, le=120)] = 20.0
    """How long connections are looked for before the caller gets a person or the apology."""
    standby: bool = False
    """Open a second, seeded connection while the first is being left. Costs concurrency."""
    fallback_models: tuple[Annotated[str, Field(pattern=r"^[\w./-]+$")], ...] = ()
    """Tried in this order where the model before is ill or over quota."""
    person: Text | None = None
    """A name under ``transfer``: who gets the caller where no connection is to be had."""
    filler: Text | None = None
    """A WAV file, mono PCM16, at most 5 s, beside the agent's file: heard once when a gap lasts
    longer than 1.5 s. None plays two soft notes."""


@dataclass(frozen=True, slots=True)
class SummarySettings:
    """How the running summary of a call is kept."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    model: Annotated[str, Field(pattern=r"^[\w./-]+$")] | None = None
    """A text model (``generate_content``); None: sentences with facts are kept word for word."""
    every_turns: Annotated[int, Field(ge=2, le=100)] = 6
    """Turns of either side after which the summary is brought up to date."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 20.0
    max_chars: Annotated[int, Field(ge=400, le=8_000)] = 2_400
    """Bound on the summary; about four characters are a token."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the model remembers of a long call."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    compression: bool = True
    """``contextWindowCompression``: the server cuts the oldest turns; without it an audio session
    ends after 15 minutes (ai.google.dev/gemini-api/docs/live-session)."""
    trigger_tokens: Annotated[int, Field(ge=1_000)] | None = None
    """The server cuts when the context is larger; None takes the model's default."""
    target_tokens: Annotated[int, Field(ge=500)] | None = None
    """What it cuts down to; None is half of the trigger."""
    seed_tokens: Annotated[int, Field(ge=500, le=32_000)] = 6_000
    """Bound on what a fresh session is told of the call, at four characters a token."""
    briefing: bool = True
    """Whoever a call is transferred to hears a short briefing before they are connected."""
    summary: SummarySettings = SummarySettings()


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is taken out of everything stored and logged, beside card numbers."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    emails: bool = False
    phone_numbers: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much the model thinks before it speaks; which of the two counts depends on the model."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    budget: Annotated[int, Field(ge=-1)] | None = None
    """Tokens; 0 is none, -1 lets the model decide (2.5 models)."""
    level: Literal["minimal", "low", "medium", "high"] | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Two-sided recording of each call; off unless asked for."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    enabled: bool = False
    announcement: Text | None = None
    """Said by the carrier's own voice before the agent comes on, while ``enabled``."""


@dataclass(frozen=True, slots=True)
class Processors:
    """Pipecat processors of your own, as ``module:Class``, in pipeline order."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    caller: tuple[ImportPath, ...] = ()
    """Between the phone and the model: they see the caller's audio."""
    agent: tuple[ImportPath, ...] = ()
    """Between the model and the phone: they see the agent's audio and text."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Everything that makes one agent."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    system_instruction: Text
    model: Annotated[str, Field(pattern=r"^[\w./-]+$")] = "gemini-3.8-live"
    voice: Annotated[str, Field(pattern=r"^[\w-]+$")] = "Kore"
    language: LanguageTag | None = None
    greeting: Greeting = Greeting()
    tools: tuple[Annotated[str, AfterValidator(_tool)], ...] = ()
    vad: Vad = Vad()
    limits: Limits = Limits()
    moves: Moves = Moves()
    context: Context = Context()
    redaction: Redaction = Redaction()
    transfer: Mapping[Text, Annotated[str, AfterValidator(_number)]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Names the model may use, and the number behind each; the model never sees the numbers."""
    apology: Text = "I am sorry, we have a technical problem. Please call again later."
    """Spoken by the carrier's own voice when the model cannot."""
    apology_voice: Text | None = None
    apology_language: LanguageTag | None = None
    recording: Recording = Recording()
    processors: Processors = Processors()
    thinking: Thinking = Thinking()
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    source: YamlSource | None = field(default=None, init=False, compare=False, repr=False)
    """Where it was read, so that later checks can still name a line; None when built by hand."""

    @property
    def folder(self) -> Path | None:
        """Where the agent's file lies; None when built by hand."""
        return Path(self.source.file).absolute().parent if self.source else None

    def issue(self, path: FieldPath, message: str) -> SpecIssue:
        """Describe a problem found after loading, such as a tool that cannot be imported."""
        source = self.source or YamlSource(self.name, {}, {})
        return source.issue(path, message)


_ADAPTER: TypeAdapter[AgentSpec] = TypeAdapter(AgentSpec)


def load_agent(path: str | Path) -> AgentSpec:
    """Read and check an agent's file.

    Raises:
        AgentSpecError: every problem there is, in file order.
    """
    source = read_yaml(Path(path))
    issues = [*source.issues, *(source.issue(at, text) for at, text in _cross_checks(source.data))]
    spec: AgentSpec | None = None
    try:
        spec = _ADAPTER.validate_python(source.data)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            at = tuple(part for part in problem["loc"] if part != "[key]")
            unread = problem["input"] is None
            if unread and any(issue.field == field_name(at) for issue in source.issues):
                # The reader has said why there is no value.
                continue
            issues.append(source.issue(at, _message(at, problem["type"], problem["msg"])))
    if issues or spec is None:
        raise AgentSpecError(sorted(issues, key=lambda issue: issue.line or 0))
    object.__setattr__(spec, "source", source)
    return spec


def _message(at: FieldPath, kind: str, text: str) -> str:
    if kind == "unexpected_keyword_argument":
        return f"unknown field{did_you_mean(str(at[-1]), _field_names(at[:-1]))}"
    if kind == "missing":
        return "is required"
    if kind.startswith("dataclass"):
        return "must be a mapping of fields"
    if kind.startswith(("string_pattern", "string_too_short")):
        return {"name": "must be letters, digits, '.', '_' or '-', at most 64"}.get(
            str(at[-1]), "is empty" if kind.endswith("short") else "is not written as expected"
        )
    text = text.removeprefix("Value error, ").replace("Input should be", "must be")
    return text.replace("valid tuple", "list").replace("valid string", "text")


def _field_names(path: FieldPath) -> list[str]:
    kind: Any = AgentSpec
    for part in path:
        kind = get_type_hints(kind).get(str(part))
    return [item.name for item in dataclasses.fields(kind) if item.init]


def _cross_checks(data: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """Rules over several fields, on raw data so that one bad field does not hide them."""
    tools = data.get("tools")
    if isinstance(tools, list):
        if len(tools) > MAX_TOOLS:
            yield ("tools",), f"at most {MAX_TOOLS} tools, there are {len(tools)}"
        names = [str(tool).rpartition(":")[2] for tool in tools]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("tools", index), f"a tool named {name} is already listed"
        if "transfer_call" in tools and not data.get("transfer"):
            yield ("tools", tools.index("transfer_call")), "needs a number under transfer"
    yield from _waits(data)
    moves, transfer = data.get("moves"), data.get("transfer")
    if isinstance(moves, dict) and (person := moves.get("person")) is not None:
        names = list(transfer) if isinstance(transfer, dict) else []
        if person not in names:
            known = f"; there are: {', '.join(map(str, names))}" if names else ""
            yield ("moves", "person"), f"must be a name under transfer{known}"
    greeting = data.get("greeting")
    if isinstance(greeting, dict) and str(greeting.get("cached")).lower() in {"true", "yes", "on"}:
        text = greeting.get("text")
        if not text:
            yield ("greeting", "cached"), "there is no greeting.text to keep"
        elif isinstance(text, str) and (variable := PLACEHOLDER.search(text)):
            yield (
                ("greeting", "cached"),
                f"cannot be kept: {variable.group()} differs between calls",
            )


def _waits(data: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """A model that waits for the caller's turn to end must not be taken for one that is silent."""
    vad, limits = data.get("vad"), data.get("limits")
    try:
        silence_s = float(vad["silence_duration_ms"]) / 1000 if isinstance(vad, dict) else 0.0
        answer_s = (
            float(limits["answer_timeout_s"])
            if isinstance(limits, dict) and "answer_timeout_s" in limits
            else Limits().answer_timeout_s
        )
    except (KeyError, TypeError, ValueError):
        return
    if silence_s > answer_s / 4:
        yield (
            ("vad", "silence_duration_ms"),
            f"is more than a quarter of limits.answer_timeout_s ({answer_s:g} s): "
            "the model would be taken for silent while it still waits for the caller",
        )
