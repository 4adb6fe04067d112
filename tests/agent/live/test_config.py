"""The setup of a connection, by model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from agent.errors import LiveConnectRefused
from agent.live.config import build_config, window_issues
from agent.live.models import TextPath, profile_for
from agent.spec import AgentSpec, Context, Moves, Thinking, Vad

DECLARATION = types.FunctionDeclaration(name="order_status", description="Look up an order.")


def config(
    model: str = "gemini-3.8-live", handle: str | None = None, **fields: Any
) -> dict[str, Any]:
    spec = AgentSpec(name="bakery", system_instruction="Be kind.", model=model, **fields)
    built = build_config(
        spec,
        profile=profile_for(model, vertexai=False),
        system_instruction="Be kind.",
        declarations=[DECLARATION],
        handle=handle,
    )
    return built.model_dump(exclude_none=True, mode="json")


def test_both_transcriptions_are_on_and_audio_is_the_answer() -> None:
    """Without transcripts there is no record of a call."""
    built = config()
    assert built["response_modalities"] == ["AUDIO"]
    assert built["input_audio_transcription"] == {}
    assert built["output_audio_transcription"] == {}


def test_what_the_agent_does_not_set_is_left_to_the_model() -> None:
    """Defaults differ between models; turn coverage and compression are always said."""
    built = config()
    assert built["realtime_input_config"] == {"turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY"}
    assert not {"temperature", "thinking_config"} & built.keys()


def test_compression_is_asked_for_by_default_at_the_models_own_sizes() -> None:
    """Without it an audio session ends after 15 minutes; 3.1 outgrows its trigger, so it is low."""
    for model, trigger in (("gemini-3.8-live", 104_857), ("gemini-3.1-flash-live-preview", 39_321)):
        assert config(model)["context_window_compression"] == {
            "trigger_tokens": trigger,
            "sliding_window": {"target_tokens": trigger // 2},
        }


def test_compression_is_as_the_agent_says_also_at_a_resume() -> None:
    """Sizes of the agent's own are sent with every setup; off is off."""
    sizes = Context(trigger_tokens=20_000, target_tokens=8_000)
    for handle in (None, "h-1"):
        assert config(handle=handle, context=sizes)["context_window_compression"] == {
            "trigger_tokens": 20_000,
            "sliding_window": {"target_tokens": 8_000},
        }
    assert "context_window_compression" not in config(context=Context(compression=False))


@pytest.mark.parametrize(
    ("model", "context", "field", "said"),
    [
        (
            "gemini-3.8-live",
            Context(trigger_tokens=20_000, target_tokens=20_000),
            "context.target_tokens",
            "20,000 is not below the trigger of 20,000",
        ),
        (
            "gemini-live-2.5-flash",
            Context(trigger_tokens=40_000),
            "context.trigger_tokens",
            "40,000 is over the model's window of 32,768",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(
    model: str, context: Context, field: str, said: str
) -> None:
    """Also where only a fallback model is too small for them."""
    with pytest.raises(LiveConnectRefused, match=said) as caught:
        config(model, context=context)
    assert caught.value.setting == field
    spec = AgentSpec("bakery", "Be kind.", context=context, moves=Moves(fallback_models=(model,)))
    (issue,) = window_issues(spec)
    assert issue.field == field
    assert said in str(issue)
    assert window_issues(AgentSpec("bakery", "Be kind.", model=model)) == []


def test_history_is_announced_where_it_follows() -> None:
    """The server then waits for it before anything else."""
    assert "history_config" not in config()
    built = build_config(
        AgentSpec("bakery", "Be kind."),
        profile=profile_for("gemini-3.8-live", vertexai=False),
        system_instruction="Be kind.",
        history_follows=True,
    )
    assert built.history_config is not None
    assert built.history_config.initial_history_in_client_content is True


def test_handles_are_asked_for_from_the_start() -> None:
    """A session that did not ask gets none; one that has a handle resumes by it."""
    assert config()["session_resumption"] == {}
    assert config(handle="h-1")["session_resumption"] == {"handle": "h-1"}


def test_voice_activity_is_set_as_the_agent_says() -> None:
    """Words of the agent's file become the API's enums."""
    built = config(
        vad=Vad(
            start_of_speech_sensitivity="low",
            end_of_speech_sensitivity="high",
            prefix_padding_ms=100,
            silence_duration_ms=500,
            activity_handling="no_interruption",
        )
    )
    assert built["realtime_input_config"] == {
        "automatic_activity_detection": {
            "start_of_speech_sensitivity": "START_SENSITIVITY_LOW",
            "end_of_speech_sensitivity": "END_SENSITIVITY_HIGH",
            "prefix_padding_ms": 100,
            "silence_duration_ms": 500,
        },
        "activity_handling": "NO_INTERRUPTION",
        "turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY",
    }


@pytest.mark.parametrize(
    ("model", "behavior"),
    [
        ("gemini-3.8-live", "BLOCKING"),
        ("gemini-3.8-live-extended-thinking", "NON_BLOCKING"),
        ("gemini-3.1-flash-live-preview", None),
        ("gemini-2.5-flash-native-audio-latest", None),
    ],
)
def test_tools_block_where_the_model_lets_them(model: str, behavior: str | None) -> None:
    """3.8 answers before the result is there unless the function is declared blocking."""
    (tool,) = config(model)["tools"]
    assert tool["function_declarations"][0].get("behavior") == behavior
    assert DECLARATION.behavior is None


def test_thinking_is_set_in_the_words_of_the_model() -> None:
    """2.5 has a budget, 3.1 a level, extended thinking must have one, plain 3.8 takes none."""
    budget = config("gemini-2.5-flash-native-audio-latest", thinking=Thinking(budget=0))
    assert budget["thinking_config"] == {"thinking_budget": 0}
    level = config("gemini-3.1-flash-live-preview", thinking=Thinking(level="minimal"))
    assert level["thinking_config"] == {"thinking_level": "MINIMAL"}
    must = config("gemini-3.8-live-extended-thinking")
    assert must["thinking_config"] == {"thinking_level": "LOW"}


@pytest.mark.parametrize(
    ("model", "thinking", "field"),
    [
        ("gemini-3.8-live", Thinking(level="low"), "thinking.level"),
        ("gemini-3.8-live", Thinking(budget=0), "thinking.budget"),
        ("gemini-3.8-live-extended-thinking", Thinking(level="minimal"), "thinking.level"),
        ("gemini-2.5-flash-native-audio-latest", Thinking(level="low"), "thinking.level"),
    ],
)
def test_what_a_model_refuses_is_refused_before_dialling(
    model: str, thinking: Thinking, field: str
) -> None:
    """The server would close without saying which field."""
    with pytest.raises(LiveConnectRefused, match=model) as caught:
        config(model, thinking=thinking)
    assert caught.value.setting == field


@pytest.mark.parametrize(
    ("model", "vertexai", "family"),
    [
        ("gemini-3.8-live", False, "3.8"),
        ("models/gemini-3.8-live", False, "3.8"),
        ("publishers/google/models/gemini-3.8-live", True, "3.8"),
        ("gemini-3.8-live-extended-thinking", False, "3.8-extended-thinking"),
        ("gemini-3.1-flash-live-preview", False, "3.1"),
        ("gemini-2.5-flash-native-audio-preview-12-2025", False, "2.5"),
        ("gemini-live-2.5-flash-native-audio", True, "2.5-vertex"),
        ("gemini-4-live", False, "3.8"),
    ],
)
def test_model_finds_its_profile(model: str, vertexai: bool, family: str) -> None:
    """By generation, with or without a prefix; what is newer than we are is like the newest."""
    assert profile_for(model, vertexai=vertexai).family == family


def test_first_words_go_where_the_model_takes_them() -> None:
    """``clientContent`` on 2.5, which has it for openings; realtime text on 3.x."""
    old = profile_for("gemini-2.5-flash-native-audio-latest", vertexai=False)
    new = profile_for("gemini-3.8-live", vertexai=False)
    assert (old.opening_text, old.text) == (TextPath.CLIENT_CONTENT, TextPath.REALTIME_INPUT)
    assert (new.opening_text, new.text) == (TextPath.REALTIME_INPUT, TextPath.REALTIME_INPUT)


def test_declarations_hold_nothing_that_ends_a_session() -> None:
    """A docstring, or a name that an agent's file makes a choice of."""
    bad = "a\x00\u202eb"
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={"to": types.Schema(type=types.Type.STRING, description=bad, enum=[bad])},
        required=["to"],
    )
    built = build_config(
        AgentSpec(name="bakery", system_instruction="Be kind."),
        profile=profile_for("gemini-3.8-live", vertexai=False),
        system_instruction=bad,
        declarations=[types.FunctionDeclaration(name="call", description=bad, parameters=schema)],
    ).model_dump(exclude_none=True, mode="json")
    (declared,) = built["tools"][0]["function_declarations"]
    assert declared["name"] == "call"
    assert declared["parameters"]["properties"]["to"]["enum"] == ["a  b"]
    assert "\\u202e" not in json.dumps(built)
    assert "\\u0000" not in json.dumps(built)
