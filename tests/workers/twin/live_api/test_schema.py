"""Which JSON the simulated server takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.twin.live_api import schema
from workers.twin.live_api.messages import RefusedError


def test_camel_and_snake_case_are_the_same_field_at_every_depth() -> None:
    """A setup as google-genai sends it, outer keys camel and inner keys snake, comes out camel."""
    sent = {
        "generationConfig": {
            "speechConfig": {
                "voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}},
                "language_code": "de-DE",
            }
        },
        "realtimeInputConfig": {"automatic_activity_detection": {"prefix_padding_ms": 20}},
        "contextWindowCompression": {"trigger_tokens": "100000", "sliding_window": {}},
    }
    assert schema.check(sent, schema.SETUP, "setup") == {
        "generationConfig": {
            "speechConfig": {
                "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
                "languageCode": "de-DE",
            }
        },
        "realtimeInputConfig": {"automaticActivityDetection": {"prefixPaddingMs": 20}},
        "contextWindowCompression": {"triggerTokens": "100000", "slidingWindow": {}},
    }


def test_names_that_are_data_are_not_respelt() -> None:
    """Parameter names of a function and keys of a result keep their spelling."""
    declaration = {
        "name": "order_status",
        "parameters": {"type": "OBJECT", "properties": {"order_number": {"type": "STRING"}}},
    }
    tools = {"tools": [{"function_declarations": [declaration]}]}
    assert schema.check(tools, schema.SETUP, "setup") == {
        "tools": [{"functionDeclarations": [declaration]}]
    }


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        ({"toolConfig": {}}, "toolConfig"),
        ({"generation_config": {"speech_config": {"vocie": 1}}}, "vocie"),
        ({"generationConfig": {"temperature": "hot"}}, "temperature"),
        ({"explicitVadSignal": 1}, "explicitVadSignal"),
        (
            {
                "realtimeInputConfig": {
                    "automaticActivityDetection": {
                        "startOfSpeechSensitivity": "START_SENSITIVITY_MEDIUM"
                    }
                }
            },
            "startOfSpeechSensitivity",
        ),
        (
            {
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "f",
                                "parameters": {"type": "OBJECT", "additionalProperties": False},
                            }
                        ]
                    }
                ]
            },
            "additionalProperties",
        ),
        ({"tools": {"functionDeclarations": []}}, "tools"),
    ],
)
def test_unknown_fields_and_wrong_types_close_with_1007(setup: dict[str, Any], named: str) -> None:
    """What the real server calls an invalid payload is refused by the name of the field."""
    with pytest.raises(RefusedError, match=named) as refused:
        schema.check(setup, schema.SETUP, "setup")
    assert refused.value.code == 1007


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*schema.SETUP.fields, "realtime_input", "client_content", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(_JSON)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    """No JSON makes the check fail otherwise."""
    try:
        schema.check(value, schema.CLIENT_MESSAGE, "")
        schema.check(value, schema.SETUP, "setup")
    except RefusedError as refused:
        assert refused.code == 1007  # noqa: PT017  (either way is fine, but only these two)
