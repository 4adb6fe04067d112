"""The setup of a Live connection: voice, instruction, tools, voice activity, compression."""

from __future__ import annotations

from collections.abc import Sequence

from google.genai import types

from agent.context.window import Window, WindowError, window_of
from agent.errors import LiveConnectRefused, SpecIssue
from agent.live.codec import clean_text
from agent.live.models import ModelProfile, profile_for
from agent.spec import AgentSpec, Thinking, Vad
from agent.text import sendable_value


def build_config(
    spec: AgentSpec,
    *,
    profile: ModelProfile,
    system_instruction: str,
    declarations: Sequence[types.FunctionDeclaration] = (),
    handle: str | None = None,
    history_follows: bool = False,
) -> types.LiveConnectConfig:
    """Write the setup message of ``spec`` the way its model takes it.

    Args:
        spec: The agent.
        profile: What its model takes.
        system_instruction: Of this connection.
        declarations: The agent's functions.
        handle: Resume the session that issued it.
        history_follows: The first message will be a ``clientContent`` with initial history.

    Raises:
        LiveConnectRefused: the agent's file asks for what its model is known to refuse.
    """
    return types.LiveConnectConfig(
        # Every general Live model closes with 1007 on TEXT.
        response_modalities=[types.Modality.AUDIO],
        temperature=spec.temperature,
        top_p=spec.top_p,
        max_output_tokens=spec.max_output_tokens,
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(
                prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=spec.voice)
            ),
            language_code=spec.language,
        ),
        thinking_config=_thinking(spec.thinking, profile, spec.model),
        system_instruction=types.Content(parts=[types.Part(text=clean_text(system_instruction))]),
        tools=_tools(declarations, profile),
        realtime_input_config=_realtime_input(spec.vad),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        # Asked for from the start: without it no handles come (ai.google.dev/api/live).
        session_resumption=types.SessionResumptionConfig(handle=handle),
        # Sent again at every resume: nobody has shown that the server remembers it.
        context_window_compression=_compression(live_window(spec, profile)),
        history_config=(
            types.HistoryConfig(initial_history_in_client_content=True) if history_follows else None
        ),
    )


def live_window(spec: AgentSpec, profile: ModelProfile) -> Window:
    """Return how large a session of ``spec`` may grow.

    Raises:
        LiveConnectRefused: its sizes do not fit the model's window.
    """
    try:
        return _window(spec, profile)
    except WindowError as error:
        raise LiveConnectRefused(error.field, error.message) from error


def window_issues(spec: AgentSpec) -> list[SpecIssue]:
    """Find what is wrong with the sizes under ``context``, for each model the agent may use."""
    for model in (spec.model, *spec.moves.fallback_models):
        # Vertex has the same windows.
        profile = profile_for(model, vertexai=False)
        try:
            _window(spec, profile)
        except WindowError as error:
            return [spec.issue(tuple(error.field.split(".")), f"{error.message} ({model})")]
    return []


def _window(spec: AgentSpec, profile: ModelProfile) -> Window:
    return window_of(
        spec.context, window_tokens=profile.window_tokens, trigger_share=profile.trigger_share
    )


def _compression(window: Window) -> types.ContextWindowCompressionConfig | None:
    if window.trigger_tokens is None:
        return None
    return types.ContextWindowCompressionConfig(
        trigger_tokens=window.trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=window.target_tokens),
    )


def _thinking(thinking: Thinking, profile: ModelProfile, model: str) -> types.ThinkingConfig | None:
    if thinking.budget is not None and profile.thinking != "budget":
        raise LiveConnectRefused("thinking.budget", f"{model} takes no thinking budget")
    if thinking.level is not None and profile.thinking != "level":
        raise LiveConnectRefused("thinking.level", f"{model} takes no thinking level")
    level = thinking.level or profile.default_thinking_level
    if level == "minimal" and profile.default_thinking_level is not None:
        raise LiveConnectRefused("thinking.level", f"{model} has no level minimal")
    if level is not None:
        return types.ThinkingConfig(thinking_level=types.ThinkingLevel(level.upper()))
    if thinking.budget is not None:
        return types.ThinkingConfig(thinking_budget=thinking.budget)
    return None


def _tools(
    declarations: Sequence[types.FunctionDeclaration], profile: ModelProfile
) -> types.ToolListUnion | None:
    if not declarations:
        return None
    if profile.tool_behavior is not None:
        update = {"behavior": types.Behavior(profile.tool_behavior)}
        declarations = [item.model_copy(update=update) for item in declarations]
    # Docstrings, and names that an agent's file makes the choices of a parameter.
    cleaned = [
        types.FunctionDeclaration.model_validate(sendable_value(item.model_dump(exclude_none=True)))
        for item in declarations
    ]
    return [types.Tool(function_declarations=cleaned)]


def _realtime_input(vad: Vad) -> types.RealtimeInputConfig:
    start, end = vad.start_of_speech_sensitivity, vad.end_of_speech_sensitivity
    detection = types.AutomaticActivityDetection(
        start_of_speech_sensitivity=(
            types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}") if start else None
        ),
        end_of_speech_sensitivity=(
            types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}") if end else None
        ),
        prefix_padding_ms=vad.prefix_padding_ms,
        silence_duration_ms=vad.silence_duration_ms,
    )
    handling = vad.activity_handling
    return types.RealtimeInputConfig(
        automatic_activity_detection=detection if detection.model_dump(exclude_none=True) else None,
        activity_handling=types.ActivityHandling(handling.upper()) if handling else None,
        # Defaults differ between models and between pages about them, so it is said outright.
        turn_coverage=types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
    )
