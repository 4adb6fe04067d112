"""``evercall demo --long``: apart from the others, so that another process can wait for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.entrypoints.test_demo import run

CALL_S = 200.0
# The call alone takes most of what a test usually may.
pytestmark = pytest.mark.timeout(CALL_S + 20)


async def test_long_demo_cuts_what_was_told_and_still_knows_it(tmp_path: Path) -> None:
    """Cuts, moves and a refill take the caller's turns from the model, and none of their facts."""
    out = tmp_path / "demo"
    code, told = await run(out, "--long", timeout_s=CALL_S)
    assert code == 0, told
    for line in (
        "the server cut the oldest turns",
        "summary brought up to date",
        "remembers allergy",
        "refilled in",
        "I promised to call you on Friday at ten.",
        "the model knew 4 of 4; of the 4 turns that had told it, it still held none",
    ):
        assert line in " ".join(told.split())
    record: dict[str, Any] = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "agent_hung_up"
    moves = record["moves"]
    assert len(moves) >= 4
    assert sum(move["kind"] == "refill" for move in moves) == 1
    assert sum(move["lost_ms"] for move in moves) == 0
    said = [turn["heard"] for turn in record["turns"] if turn["speaker"] == "agent"]
    # Nobody is greeted again, nothing is said twice, and the last answers hold the facts.
    assert len(said) == len(set(said)) == 13
    for fact, answer in zip(("Whitfield", "48213", "hazelnuts", "Friday"), said[-5:], strict=False):
        assert fact in answer
    context = record["context"]
    assert context["trigger_tokens"] == 1_600
    assert len(context["cuts"]) >= 2
    assert all(cut["after_tokens"] < cut["before_tokens"] for cut in context["cuts"])
    assert context["most_tokens"] >= max(sample["tokens"] for sample in context["samples"])
    assert [made["outcome"] for made in context["summaries"]].count("ok") >= 2
    assert {fact["key"]: fact["value"] for fact in record["facts"]} == {
        "allergy": "the caller's son: hazelnuts"
    }
    summary = " ".join([record["summary"]["caller"], *record["summary"]["facts"]])
    for fact in ("Nora Whitfield", "48213", "14 March", "12 Garden Road", "80 dollars"):
        assert fact in summary
    assert "I promise to call you on Friday at ten." in record["summary"]["promises"]
    page = (out / "call.html").read_text(encoding="utf-8")
    for text in (
        'class="plot"',
        "trigger 1,600",
        "cut by the server",
        "move to another connection",
        "summary brought up to date",
        "What the agent remembers",
    ):
        assert text in page
