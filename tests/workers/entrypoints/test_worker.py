"""A worker has its text model ready before the first call, or says at the start why it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import google.auth
import pytest
import yaml
from google.auth import exceptions as auth_errors
from structlog.testing import capture_logs

from agent.spec import load_agent
from tests.workers.entrypoints.twins import AGENT, API_KEY, World, twins
from workers.entrypoints.worker import run_worker
from workers.settings import SettingsError, load_settings
from workers.twin.text_model.server import TextModelTwin

MODEL = "gemini-3.5-flash-lite"
ANY_SHAPE = {"type": "object", "properties": {"caller": {"type": "string"}}}


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with twins(monkeypatch, tmp_path) as found:
        yield found


def keep_summaries(world: World, **summary: object) -> None:
    data = {**AGENT, "context": {"summary": {"model": MODEL, **summary}}}
    world.agent.write_text(yaml.safe_dump(data, sort_keys=False))


async def test_text_model_is_ready_before_there_is_a_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the address that is set, with room for what the agent's file allows."""
    keep_summaries(world, max_chars=800)
    async with TextModelTwin(api_key=API_KEY, authority=world.live.authority) as text:
        monkeypatch.setenv("EVERCALL_TEXT_BASE_URL", text.base_url)
        async with world.served() as worker:
            model = worker.text_model
            assert model is not None
            assert model.name == MODEL
            ready = model._client
            assert ready is not None
            await model.generate("Caller: Hello.", schema=ANY_SHAPE)
        assert model._client is None
    assert text.asked[0].question.max_tokens == 800 + 1_024 + 4_096


async def test_without_a_model_there_is_none(world: World) -> None:
    """The summary is then kept by rules."""
    async with world.served() as worker:
        assert worker.text_model is None


async def test_wrong_setting_of_the_text_model_stops_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together with everything else that is wrong, and what both models lack but once."""
    keep_summaries(world)
    monkeypatch.setenv("EVERCALL_TEXT_BASE_URL", "http://text.example")
    monkeypatch.delenv("TWILIO_AUTH_TOKEN")
    with pytest.raises(SettingsError) as caught:
        async with world.served():
            pass
    assert str(caught.value).splitlines() == [
        "EVERCALL_TEXT_BASE_URL: must begin with https://",
        "TWILIO_AUTH_TOKEN: is not set",
    ]
    monkeypatch.delenv("EVERCALL_TEXT_BASE_URL")
    monkeypatch.delenv("GOOGLE_API_KEY")
    with pytest.raises(SettingsError) as caught:
        async with world.served():
            pass
    assert str(caught.value).splitlines() == [
        "GOOGLE_API_KEY: is not set",
        "TWILIO_AUTH_TOKEN: is not set",
    ]


async def test_worker_serves_without_credentials_for_summaries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may pass costs no call; the log says what is missing."""
    keep_summaries(world)
    monkeypatch.delenv("GOOGLE_API_KEY")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")

    def none_found(**_: object) -> None:
        raise auth_errors.DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", none_found)
    spec = load_agent(world.agent)
    with capture_logs() as logs:
        async with run_worker(load_settings(None), spec, host="127.0.0.1", port=0) as worker:
            assert worker.server.port
    (told,) = [entry for entry in logs if entry["event"] == "text_model.not_ready"]
    assert told["model"] == MODEL
    assert told["reason"].startswith("GOOGLE_APPLICATION_CREDENTIALS: ")
