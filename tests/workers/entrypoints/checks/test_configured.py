"""Wrong settings are told, left out, and stop nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.workers.entrypoints.twins import bare_environment
from workers.entrypoints.checks.configured import Configured, read_settings
from workers.entrypoints.checks.finding import Outcome

GOOD = {
    "GOOGLE_API_KEY": "key",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "EVERCALL_PUBLIC_URL": "https://voice.example",
    "EVERCALL_AGENT": "agent.yaml",
}


def read(
    monkeypatch: pytest.MonkeyPatch,
    changes: Mapping[str, str] = MappingProxyType({}),
    *,
    agent: Path | None = None,
) -> Configured:
    bare_environment(monkeypatch)
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)
    return read_settings(agent=agent, env_file=None)


def failures(configured: Configured) -> list[str]:
    return [found.text for found in configured.findings if found.outcome is Outcome.FAIL]


def test_good_settings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker needs is there; a number of one's own is not among it."""
    configured = read(monkeypatch)
    assert [found.outcome for found in configured.findings] == [Outcome.OK]
    assert configured.unusable == {"EVERCALL_PHONE_NUMBER": "is not set"}


def test_wrong_settings_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its line, and the others keep their values."""
    configured = read(
        monkeypatch,
        {
            "EVERCALL_PUBLIC_URL": "voice.example",
            "EVERCALL_MAX_CALLS": "many",
            "EVERCALL_TICKET_SECRET": "short",
        },
    )
    assert [text.partition(":")[0] for text in failures(configured)] == [
        "EVERCALL_PUBLIC_URL",
        "EVERCALL_MAX_CALLS",
        "EVERCALL_TICKET_SECRET",
    ]
    settings = configured.settings
    assert (settings.public_url, settings.max_calls) == (None, 100)
    assert settings.twilio_account_sid == GOOD["TWILIO_ACCOUNT_SID"]
    assert configured.lacks(("EVERCALL_PUBLIC_URL",)) == "EVERCALL_PUBLIC_URL is wrong"
    assert configured.lacks(("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")) is None


def test_argument_takes_the_place_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--agent`` counts also where something else is wrong."""
    configured = read(monkeypatch, {"EVERCALL_LOG_LEVEL": "LOUD"}, agent=Path("other.yaml"))
    assert configured.settings.agent == Path("other.yaml")
    assert len(failures(configured)) == 1


@pytest.mark.parametrize(
    ("changes", "line", "lacking"),
    [
        ({"GOOGLE_API_KEY": ""}, "GOOGLE_API_KEY: is not set", "GOOGLE_API_KEY is not set"),
        (
            {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_API_KEY": ""},
            "GOOGLE_CLOUD_PROJECT: is not set",
            "GOOGLE_CLOUD_PROJECT is not set",
        ),
        (
            {"GOOGLE_GEMINI_BASE_URL": "http://twin"},
            "GOOGLE_GEMINI_BASE_URL: must begin with https://",
            "GOOGLE_GEMINI_BASE_URL is wrong",
        ),
    ],
)
def test_live_settings_are_those_of_the_service_in_use(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], line: str, lacking: str
) -> None:
    """The Developer API wants a key, Vertex AI a project."""
    configured = read(monkeypatch, changes)
    assert failures(configured) == [line]
    assert configured.lacks((line.partition(":")[0],)) == lacking


def test_certificates_that_cannot_be_read_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's are used instead, so that the other checks can go on."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    configured = read(monkeypatch, {"SSL_CERT_FILE": str(file)})
    assert [text.partition(":")[0] for text in failures(configured)] == ["SSL_CERT_FILE"]
    assert configured.settings.ssl_cert_file is None
    assert configured.lacks(("GOOGLE_API_KEY",)) is None
