"""The environment becomes checked values, or one clear line for each that is wrong."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from agent.context.settings import TextModelSettings
from agent.live.settings import LiveSettings
from workers.settings import SettingsError, WorkerSettings, load_settings, secret_named

SID = "AC" + "0" * 32


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EVERCALL_", "TWILIO_", "GOOGLE_", "GEMINI_", "SSL_CERT")):
            monkeypatch.delenv(name)


def wrong(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    return str(caught.value)


def test_defaults_need_nothing() -> None:
    """Without any setting there are an embedded database and a fresh ticket secret."""
    settings = load_settings(None)
    assert settings.database == "sqlite:///evercall-data/evercall.sqlite3"
    assert len(settings.ticket_secret.get_secret_value()) >= 32
    assert settings.ticket_secret != load_settings(None).ticket_secret


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("EVERCALL_MAX_CALLS", "0", "greater than or equal to 1, got '0'"),
        ("EVERCALL_MAX_CALLS", "many", "valid integer"),
        ("TWILIO_ACCOUNT_SID", "SK123", "must be AC and 32 hexadecimal digits"),
        ("EVERCALL_PUBLIC_URL", "http://voice.example", "must begin with https://"),
        ("EVERCALL_PUBLIC_URL", "voice.example", "must be an address"),
        ("EVERCALL_PUBLIC_URL", "https://my_host.example", "no underscore"),
        ("EVERCALL_PUBLIC_URL", "https://voice.example/?a=1", "no query"),
        ("EVERCALL_PUBLIC_URL", "https://voice.example:x", "Port"),
        ("EVERCALL_TEXT_BASE_URL", "text.example", "must be an address"),
        ("EVERCALL_FORWARD_NUMBER", "555 1234", "E.164"),
        ("EVERCALL_DATABASE_URL", "mysql://x", "must begin with sqlite:/// or postgresql://"),
        ("EVERCALL_DATABASE_URL", "postgresql://me:x@host:port/db", "a number for its port"),
        ("EVERCALL_DATABASE_URL", "sqlite:///", "must name a file"),
        ("EVERCALL_DATABASE_URL", "sqlite:///:memory:", "must name a file"),
        ("EVERCALL_BROKER_URL", "kafka://host", "must begin with redis://"),
        ("EVERCALL_BROKER_URL", "redis://host:port/0", "a number for its port"),
        ("EVERCALL_BROKER_URL", "amqp:///", "must name a host"),
        ("EVERCALL_CALLS_PER_SECOND", "0", "greater than 0, got '0'"),
        ("EVERCALL_KEPT_FOR_INBOUND", "-1", "greater than or equal to 0, got '-1'"),
        ("EVERCALL_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO'"),
        ("SSL_CERT_FILE", "/nowhere.pem", "must be a file that exists"),
        ("GOOGLE_GENAI_USE_VERTEXAI", "perhaps", "valid boolean"),
        ("EVERCALL_TICKET_SECRET", "short", "at least 16 characters"),
    ],
)
def test_wrong_value_gives_one_line_naming_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    """The operator reads which setting is wrong, and how."""
    line = wrong(monkeypatch, **{name: value})
    assert line.startswith(f"{name}: ")
    assert text in line
    assert "\n" not in line


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in an error, not in a log of the settings."""
    assert "sesame" not in wrong(monkeypatch, EVERCALL_TICKET_SECRET="sesame")
    monkeypatch.setenv("EVERCALL_TICKET_SECRET", "sesame" * 4)
    monkeypatch.setenv("EVERCALL_DATABASE_URL", "postgresql://me:sesame@host/db")
    monkeypatch.setenv("EVERCALL_BROKER_URL", "amqp://me:sesame@host//")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "sesame")
    assert "sesame" not in repr(load_settings(None))
    assert "sesame" not in wrong(monkeypatch, EVERCALL_DATABASE_URL="mysql://me:sesame@host/db")


def test_local_public_url_may_be_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, or when Twilio itself is a twin, there is no TLS to be had."""
    monkeypatch.setenv("EVERCALL_PUBLIC_URL", "http://127.0.0.1:8080/")
    assert load_settings(None).public_url == "http://127.0.0.1:8080"
    monkeypatch.setenv("EVERCALL_PUBLIC_URL", "http://worker:8080")
    monkeypatch.setenv("EVERCALL_TWILIO_BASE_URL", "http://twin:9000")
    assert load_settings(None).public_url == "http://worker:8080"


def test_environment_wins_over_the_file_and_arguments_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The order is: command line, environment, ``.env``, default."""
    env_file = tmp_path / ".env"
    env_file.write_text(
        "EVERCALL_AGENT=file.yaml\nEVERCALL_MAX_CALLS=7\nGEMINI_API_KEY=from-file\n"
    )
    monkeypatch.setenv("EVERCALL_MAX_CALLS", "8")
    settings = load_settings(env_file, agent=Path("argument.yaml"), public_url=None)
    assert (settings.agent, settings.max_calls) == (Path("argument.yaml"), 8)
    assert settings.google_api_key is not None
    assert settings.google_api_key.get_secret_value() == "from-file"


def test_google_api_key_wins_over_gemini_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own order."""
    monkeypatch.setenv("GEMINI_API_KEY", "second")
    monkeypatch.setenv("GOOGLE_API_KEY", "first")
    key = load_settings(None).google_api_key
    assert key is not None
    assert key.get_secret_value() == "first"


def test_empty_value_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied example with empty lines changes nothing."""
    monkeypatch.setenv("EVERCALL_MAX_CALLS", "")
    monkeypatch.setenv("EVERCALL_FORWARD_NUMBER", "")
    assert load_settings(None).max_calls == 100


def test_twilio_names_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of the worker tells all that it lacks."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", SID)
    with pytest.raises(SettingsError) as caught:
        load_settings(None).twilio()
    assert str(caught.value) == "TWILIO_AUTH_TOKEN: is not set\nEVERCALL_PUBLIC_URL: is not set"


def test_twilio_settings_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the phone side needs is handed over as plain data."""
    for name, value in {
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_AUTH_TOKEN": "new",
        "EVERCALL_TWILIO_OLD_AUTH_TOKENS": "older, oldest,",
        "EVERCALL_PUBLIC_URL": "https://voice.example/",
        "EVERCALL_FORWARD_NUMBER": "+15550100009",
    }.items():
        monkeypatch.setenv(name, value)
    twilio = load_settings(None).twilio()
    assert twilio.signing_tokens == ("new", "older", "oldest")
    assert twilio.public_url == "https://voice.example"
    assert twilio.forward_number == "+15550100009"


def test_live_settings_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Live side needs is handed over as plain data."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    assert load_settings(None).live() == LiveSettings(
        vertexai=True, project="mine", location="europe-west4", ca_file=__file__
    )


def test_live_base_url_is_that_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Developer API and Vertex AI have addresses of their own."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://developer.example/")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://vertex.example")
    assert load_settings(None).live().base_url == "https://developer.example"
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "1")
    assert load_settings(None).live().base_url == "https://vertex.example"


def test_text_model_has_the_live_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, project and trust are the same; the address stands in until it has its own."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://live.example")
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    assert load_settings(None).text_model() == TextModelSettings(
        api_key="key",
        base_url="https://live.example",
        base_url_setting="GOOGLE_GEMINI_BASE_URL",
        ca_file=__file__,
    )
    monkeypatch.setenv("EVERCALL_TEXT_BASE_URL", "https://text.example/")
    assert load_settings(None).text_model() == TextModelSettings(
        api_key="key", base_url="https://text.example", ca_file=__file__
    )


def test_text_model_of_vertex_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live models are served in regions, new text models often globally alone."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://vertex.example")
    there = TextModelSettings(
        base_url="https://vertex.example",
        base_url_setting="GOOGLE_VERTEX_BASE_URL",
        vertexai=True,
        project="mine",
        location="europe-west4",
    )
    assert load_settings(None).text_model() == there
    monkeypatch.setenv("EVERCALL_TEXT_LOCATION", "global")
    assert load_settings(None).text_model() == replace(there, location="global")


def test_text_model_needs_no_address() -> None:
    """Without any it is Google's own."""
    assert load_settings(None).text_model() == TextModelSettings()


def test_example_explains_every_setting() -> None:
    """``infra/env.example`` names each setting, and none that does not exist."""
    example = (Path(__file__).parents[2] / "infra" / "env.example").read_text()
    named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    aliases = {str(f.validation_alias) for f in WorkerSettings.model_fields.values()}
    known = {name for alias in aliases for name in re.findall(r"[A-Z]+_[A-Z_]+", alias)}
    assert named == known - {"GEMINI_API_KEY"}


def test_a_named_secret_comes_from_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As all settings do; a variable that is set nowhere, or empty, is none."""
    file = tmp_path / ".env"
    file.write_text("CRM_KEY=from-file\nEMPTY=\n")
    assert secret_named("CRM_KEY", file) == "from-file"
    monkeypatch.setenv("CRM_KEY", "from-environment")
    assert secret_named("CRM_KEY", file) == "from-environment"
    assert secret_named("EMPTY", file) is None
    assert secret_named("NOWHERE", tmp_path / "none") is None
