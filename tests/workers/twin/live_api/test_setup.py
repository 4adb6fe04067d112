"""What the simulated server accepts as a setup message."""

from __future__ import annotations

from typing import Any

import pytest

from workers.twin.live_api.messages import RefusedError
from workers.twin.live_api.profiles import PROFILES, profile_named
from workers.twin.live_api.setup import read_setup

_MODEL = {"model": "models/gemini-3.8-live"}
_V25 = {"model": "models/gemini-2.5-flash-native-audio-latest"}
_THINKING = {"model": "models/gemini-3.8-live-extended-thinking"}


@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        ({}, 1008, "not found"),
        ({"model": "gemini-3.8-live"}, 1008, "not found"),
        ({"model": "models/gemini-9"}, 1008, "models/gemini-9"),
        ({"model": "publishers/google/models/gemini-3.8-live"}, 1008, "not found"),
        (_MODEL | {"generationConfig": {"responseModalities": ["TEXT"]}}, 1007, r"\(TEXT\)"),
        (
            _MODEL
            | {
                "generationConfig": {
                    "speechConfig": {
                        "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Nobody"}}
                    }
                }
            },
            1007,
            "Nobody",
        ),
        (
            _MODEL | {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
            1007,
            "Thinking",
        ),
        (_THINKING, 1007, "required"),
        (_MODEL | {"proactivity": {"proactiveAudio": False}}, 1007, "invalid argument"),
        (_MODEL | {"generationConfig": {"enableAffectiveDialog": True}}, 1007, "invalid argument"),
        (_MODEL | {"sessionResumption": {"transparent": True}}, 1007, "invalid argument"),
        (_MODEL | {"explicitVadSignal": True}, 1007, "invalid argument"),
        (_MODEL | {"tools": [{"codeExecution": {}}]}, 1007, "Code Execution"),
    ],
)
def test_a_refused_setup_names_its_close_code(raw: dict[str, Any], code: int, reason: str) -> None:
    """Each rule of the reference's table of refusals holds."""
    with pytest.raises(RefusedError, match=reason) as refused:
        read_setup(raw, vertex=False)
    assert refused.value.code == code


def test_the_model_decides_the_profile_on_either_surface() -> None:
    """The same model name means another profile on Vertex, with Vertex's spelling of it."""
    for profile in PROFILES:
        for model in profile.models:
            name = f"publishers/google/models/{model}" if profile.vertex else f"models/{model}"
            raw: dict[str, Any] = {"model": name}
            if profile.thinking_level == "required":
                raw["generationConfig"] = {"thinkingConfig": {"thinkingLevel": "LOW"}}
            assert read_setup(raw, vertex=profile.vertex).profile == profile


def test_a_server_of_one_profile_knows_no_other_model() -> None:
    """Models of other profiles are unknown to a server that serves one."""
    with pytest.raises(RefusedError):
        read_setup(_MODEL, vertex=False, only=profile_named("2.5"))


def test_functions_are_non_blocking_by_default_on_3_8_alone() -> None:
    """The default and the honouring of ``behavior`` depend on the model."""
    declared = [
        {"name": "a"},
        {"name": "b", "behavior": "NON_BLOCKING"},
        {"name": "c", "behavior": "BLOCKING"},
    ]
    tools = {"tools": [{"functionDeclarations": declared}]}
    v31 = {"model": "models/gemini-3.1-flash-live-preview"}
    runs = {
        name: [read_setup(raw | tools, vertex=False).runs_non_blocking(f) for f in "abc"]
        for name, raw in {"3.8": _MODEL, "3.1": v31, "2.5": _V25}.items()
    }
    assert runs == {
        "3.8": [True, True, False],
        "3.1": [False, False, False],
        "2.5": [False, True, False],
    }


def test_detection_follows_the_setup_where_the_profile_honours_it() -> None:
    """``silenceDurationMs`` is obeyed by 2.5 and 3.8, and ignored by 3.1."""
    wanted = {"realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": 200}}}
    assert read_setup(_MODEL | wanted, vertex=False).detection.silence_ms == 200
    v31 = {"model": "models/gemini-3.1-flash-live-preview"}
    assert read_setup(v31 | wanted, vertex=False).detection.silence_ms == 1500
