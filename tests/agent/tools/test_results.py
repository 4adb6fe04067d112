"""What a tool returned is told whole, or shortened with a note, and always as sendable JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.tools.results import (
    MAX_ERROR_CHARS,
    MAX_OUTPUT_CHARS,
    error_response,
    output_response,
)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("a\x00b\u2028c\ud800", "a b c "),
        ({"k\x00": ["\x1b[2J"]}, {"k ": [" [2J"]}),
        ({"order": 12345678901234567890}, {"order": "12345678901234567890"}),
        ({1: float("inf"), None: {2}}, {"1": None, "None": [2]}),
        ("word " * 3_000, "word " * 3_000),
    ],
)
def test_result_is_told_as_clean_json(result: object, output: object) -> None:
    """Control characters go wherever they are; up to the bound nothing is cut."""
    assert output_response(result) == {"output": output}


def shortened(result: object) -> dict[str, Any]:
    response = output_response(result)
    assert len(json.dumps(response["output"], ensure_ascii=False)) <= MAX_OUTPUT_CHARS
    assert response["truncated"] is True
    return response


def test_note_says_how_much_is_missing() -> None:
    """The model must not take the beginning for all there is."""
    response = shortened({"status": "ready", "page": "word " * 10_000})
    assert response["output"]["status"] == "ready"
    size = len(json.dumps(response["output"], ensure_ascii=False))
    assert size > 0.9 * MAX_OUTPUT_CHARS
    assert f"of 50,031 characters about {size:,} are here" in response["note"]


def test_json_in_a_text_is_shortened_as_what_it_is() -> None:
    """Not cut in the middle of a field."""
    rows = [{"order": number, "what": "rye bread"} for number in range(2_000)]
    output = shortened(json.dumps(rows))["output"]
    assert output[:-1] == rows[: len(output) - 1]
    assert shortened("[" + "word " * 10_000)["output"].startswith("[word word")
    assert shortened("[" * 20_000)["output"].startswith("[[")


def test_long_error_shows_that_it_was_cut() -> None:
    """And is clean."""
    assert error_response("x" * MAX_ERROR_CHARS) == {"error": "x" * MAX_ERROR_CHARS}
    assert error_response("\x00" + "x" * 400) == {"error": " " + "x" * 298 + "…"}
