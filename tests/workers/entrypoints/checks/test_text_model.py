"""One small summary tells whether there will be any, and what to mend where there will not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.context.settings import TextModelSettings
from workers.entrypoints.checks import text_model
from workers.entrypoints.checks.finding import Finding, Outcome
from workers.twin.text_model.server import TextModelTwin

MODEL = "gemini-3.5-flash-lite"


@pytest.fixture
async def twin() -> AsyncIterator[TextModelTwin]:
    async with TextModelTwin() as found:
        yield found


async def look(
    twin: TextModelTwin, model: str = MODEL, *, allowed_s: float = 20, **settings: Any
) -> Finding:
    given = {"api_key": "test-key", "base_url": twin.base_url, "ca_file": twin.ca_file, **settings}
    (finding,) = await text_model.check_text_model(
        model, TextModelSettings(**given), allowed_s=allowed_s
    )
    return finding


async def test_summary_is_asked_for_and_told_with_its_cost(twin: TextModelTwin) -> None:
    """One request, a few tokens."""
    finding = await look(twin)
    assert finding.outcome is Outcome.OK
    assert finding.text.startswith(f"{MODEL}: a summary after ")
    assert finding.text.endswith(" tokens")
    (asked,) = twin.asked
    assert len(asked.prompt) < 300


@pytest.mark.parametrize(
    ("recipe", "told", "mend"),
    [
        ("error(403)", "GOOGLE_API_KEY: was refused", "aistudio.google.com/apikey"),
        (
            "error(404)",
            "context.summary.model: 'gemini-3.5-flash-lite' is not",
            "name a text model",
        ),
        ("error(429)", "the quota for gemini-3.5-flash-lite is used up", "raise the quota"),
        ("error(503)", "is not available (HTTP 503", "try again in a minute"),
        ("nonsense", "not in the shape that was asked for", "name another text model"),
        ("wrong_shape", "not in the shape that was asked for", "name another text model"),
        ("empty", "answered nothing", "then name another text model"),
        ("blocked", "refused the prompt", "then name another text model"),
    ],
)
async def test_what_is_wrong_is_a_warning_with_its_mend(
    twin: TextModelTwin, recipe: str, told: str, mend: str
) -> None:
    """Calls work all the same, with a summary kept by rules."""
    twin.behave(recipe)
    finding = await look(twin)
    assert finding.outcome is Outcome.WARN
    assert told in finding.text
    assert mend in finding.mend


async def test_model_that_hangs_is_bounded(
    twin: TextModelTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report does not wait for it, and no request is left behind."""
    monkeypatch.setattr(text_model, "TIMEOUT_S", 0.5)
    twin.behave("hang")
    finding = await look(twin)
    assert "did not answer in time" in finding.text
    assert "try again in a minute" in finding.mend
    await twin.until(lambda: twin.at_once == 0)


async def test_model_that_is_slower_than_calls_wait_is_a_warning(twin: TextModelTwin) -> None:
    """No summary would ever come."""
    twin.behave("slow(0.5)")
    finding = await look(twin, allowed_s=0.4)
    assert finding.outcome is Outcome.WARN
    assert finding.text.endswith(" s, and calls wait for 0.4 s")
    assert "context.summary.timeout_s" in finding.mend


async def test_setting_that_stops_the_worker_is_a_failure(twin: TextModelTwin) -> None:
    """``evercall serve`` refuses to start with it."""
    finding = await look(twin, base_url="http://text.example")
    assert finding.outcome is Outcome.FAIL
    assert finding.text == "EVERCALL_TEXT_BASE_URL: must begin with https://"
    assert "https" in finding.mend
    assert twin.asked == []
