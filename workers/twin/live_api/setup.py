"""The first client message: what the session was asked to be, or why it is refused.

Refusals arrive as close frames instead of ``setupComplete``; each rule names where it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workers.twin.live_api.compression import Compression, read_compression
from workers.twin.live_api.messages import RefusedError, invalid
from workers.twin.live_api.profiles import VOICES, Profile, profile_of
from workers.twin.live_api.usage import text_tokens
from workers.twin.live_api.wire import content_text

# RMS of PCM16 above which 20 ms count as speech. Phone speech is around 2000 to 4000, µ-law
# silence below 10, line noise below 200.
_LOUDNESS_HIGH_SENSITIVITY = 300
_LOUDNESS_LOW_SENSITIVITY = 900


@dataclass(frozen=True, slots=True)
class Detection:
    """How the caller's turns are heard."""

    manual: bool
    loudness: int
    prefix_padding_ms: int
    silence_ms: int
    interrupts: bool
    all_input: bool
    """All audio counts as tokens, not speech alone."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One accepted setup message; ``raw`` is the message with camelCase names."""

    raw: dict[str, Any]
    profile: Profile
    model: str
    voice: str
    system_instruction: str
    detection: Detection
    transcribe_input: bool
    transcribe_output: bool
    thinks: bool
    resumption: bool
    handle: str
    transparent: bool
    history_first: bool
    vad_signal: bool
    window_tokens: int
    """What the context holds."""
    compression: Compression | None
    """None: it is never cut, and the session ends where it is full."""
    non_blocking: dict[str, bool] = field(default_factory=dict)
    """Declared functions, and whether the model goes on without their results."""

    def runs_non_blocking(self, function: str) -> bool:
        """Tell whether a call of ``function`` leaves the model free to speak."""
        return self.non_blocking.get(function, self.profile.non_blocking == "default")


def read_setup(
    raw: dict[str, Any],
    *,
    vertex: bool,
    only: Profile | None = None,
    window_tokens: int | None = None,
) -> Setup:
    """Return the session that ``raw`` asks for.

    Args:
        raw: The content of ``setup``, checked against the schema.
        vertex: Whether it came in on the Vertex path.
        only: Serve this profile's models alone; None serves all.
        window_tokens: What the context holds; None for what the model's really does.

    Raises:
        RefusedError: The close frame to send instead of ``setupComplete``.
    """
    model = raw.get("model", "")
    profile = profile_of(model, vertex=vertex)
    if profile is None or (only is not None and profile != only):
        raise RefusedError(
            1008,
            f"{model} is not found for API version v1beta, "
            "or is not supported for bidiGenerateContent.",
        )
    generation = raw.get("generationConfig", {})
    _check_modality(generation)
    _check_thinking(generation, profile)
    _check_surface(raw, profile)
    voice = _voice(generation)
    window_tokens = profile.window_tokens if window_tokens is None else window_tokens
    instruction = content_text(raw.get("systemInstruction", {}))
    if text_tokens(instruction) > window_tokens:
        raise invalid()
    resumption = raw.get("sessionResumption", {})
    return Setup(
        raw=raw,
        profile=profile,
        model=model,
        voice=voice,
        system_instruction=instruction,
        detection=_detection(raw.get("realtimeInputConfig", {}), profile),
        transcribe_input="inputAudioTranscription" in raw,
        transcribe_output="outputAudioTranscription" in raw,
        thinks=profile.thoughts and int(_thinking(generation).get("thinkingBudget", -1)) != 0,
        resumption="sessionResumption" in raw or profile.unasked_handles,
        handle=resumption.get("handle", ""),
        transparent=resumption.get("transparent", False),
        history_first=raw.get("historyConfig", {}).get("initialHistoryInClientContent", False),
        vad_signal=raw.get("explicitVadSignal", False),
        window_tokens=window_tokens,
        compression=read_compression(raw, profile, window_tokens=window_tokens),
        non_blocking=_functions(raw.get("tools", []), profile),
    )


def _check_modality(generation: dict[str, Any]) -> None:
    # All general Live models refuse text (pydantic-ai profiles/google.py, four models).
    modalities = generation.get("responseModalities", ["AUDIO"])
    if modalities != ["AUDIO"]:
        raise invalid(
            f"The requested combination of response modalities ({', '.join(modalities)}) "
            "is not supported by the model."
        )


def _thinking(generation: dict[str, Any]) -> dict[str, Any]:
    thinking: dict[str, Any] = generation.get("thinkingConfig", {})
    return thinking


def _check_thinking(generation: dict[str, Any], profile: Profile) -> None:
    level = _thinking(generation).get("thinkingLevel", "").upper()
    if level and profile.thinking_level == "refused":
        raise invalid("Thinking level is not supported for this model.")
    if profile.thinking_level == "required" and level not in {"LOW", "MEDIUM", "HIGH"}:
        raise invalid("Thinking level is required for this model.")


def _check_surface(raw: dict[str, Any], profile: Profile) -> None:
    """Refuse what this model or this surface (Developer API, Vertex) does not take."""
    generation = raw.get("generationConfig", {})
    if profile.proactive_only and (
        raw.get("proactivity", {}).get("proactiveAudio") is False
        or generation.get("enableAffectiveDialog")
    ):
        raise invalid()  # ai.google.dev/gemini-api/docs/models/gemini-3.8-live
    transparent = raw.get("sessionResumption", {}).get("transparent")
    if not profile.vertex and (transparent or raw.get("explicitVadSignal")):
        raise invalid()  # google/adk-python#5784
    if any("codeExecution" in tool for tool in raw.get("tools", [])):
        raise invalid("Code Execution tool is not supported for this model.")


def _voice(generation: dict[str, Any]) -> str:
    voice_config = generation.get("speechConfig", {}).get("voiceConfig", {})
    voice: str = voice_config.get("prebuiltVoiceConfig", {}).get("voiceName", "")
    if voice and voice.capitalize() not in VOICES:
        # Closes before setupComplete (google/skills); the text is a guess.
        raise invalid(f"Requested voice api_name '{voice}' is not available for this model.")
    return voice


def _functions(tools: list[dict[str, Any]], profile: Profile) -> dict[str, bool]:
    behaviours = {
        declaration.get("name", ""): declaration.get("behavior", "UNSPECIFIED")
        for tool in tools
        for declaration in tool.get("functionDeclarations", [])
    }
    if profile.non_blocking == "ignored":
        return dict.fromkeys(behaviours, False)
    default = profile.non_blocking == "default"
    return {
        name: default if behaviour == "UNSPECIFIED" else behaviour == "NON_BLOCKING"
        for name, behaviour in behaviours.items()
    }


def _detection(realtime: dict[str, Any], profile: Profile) -> Detection:
    automatic = realtime.get("automaticActivityDetection", {})
    start = automatic.get("startOfSpeechSensitivity", "")
    low = start.endswith("_LOW") or (profile.low_sensitivity and not start.endswith("_HIGH"))
    silence_ms = int(automatic.get("silenceDurationMs", 0)) if profile.honours_silence else 0
    return Detection(
        manual=automatic.get("disabled", False),
        loudness=_LOUDNESS_LOW_SENSITIVITY if low else _LOUDNESS_HIGH_SENSITIVITY,
        prefix_padding_ms=int(automatic.get("prefixPaddingMs", profile.prefix_padding_ms)),
        silence_ms=silence_ms or profile.silence_ms,
        interrupts=realtime.get("activityHandling") != "NO_INTERRUPTION",
        all_input=realtime.get("turnCoverage") == "TURN_INCLUDES_ALL_INPUT",
    )
