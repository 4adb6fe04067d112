"""The environment, and a ``.env`` file, read once into checked values.

The only module that reads the environment. Names are the SDKs' own where they have one.
Each is explained in infra/env.example. A real environment variable wins over ``.env``; an empty
one counts as unset.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo
from pydantic import field_validator as check
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.context.settings import TextModelSettings
from agent.live.settings import LiveSettings
from telephony.settings import TwilioSettings

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
# ITU-T E.164: a plus, no leading zero, at most 15 digits.
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SettingsError(Exception):
    """Settings are missing or wrong; the text has one line each, beginning with its name."""


class WorkerSettings(BaseSettings):
    """Everything the worker takes from its environment."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_ignore_empty=True,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
    )

    # The Live API: the names google-genai itself knows.
    google_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("GOOGLE_API_KEY", "GEMINI_API_KEY")
    )
    google_base_url: str | None = Field(None, validation_alias="GOOGLE_GEMINI_BASE_URL")
    google_vertex_base_url: str | None = Field(None, validation_alias="GOOGLE_VERTEX_BASE_URL")
    google_use_vertexai: bool = Field(False, validation_alias="GOOGLE_GENAI_USE_VERTEXAI")
    google_project: str | None = Field(None, validation_alias="GOOGLE_CLOUD_PROJECT")
    google_location: str | None = Field(None, validation_alias="GOOGLE_CLOUD_LOCATION")
    ssl_cert_file: Path | None = Field(None, validation_alias="SSL_CERT_FILE")

    # The text model, where it differs from the Live API.
    text_base_url: str | None = Field(None, validation_alias="EVERCALL_TEXT_BASE_URL")
    text_location: str | None = Field(None, validation_alias="EVERCALL_TEXT_LOCATION")

    # Twilio. twilio_base_url stands before public_url, which is checked against it.
    twilio_account_sid: str | None = Field(None, validation_alias="TWILIO_ACCOUNT_SID")
    twilio_auth_token: SecretStr | None = Field(None, validation_alias="TWILIO_AUTH_TOKEN")
    twilio_old_auth_tokens: SecretStr | None = Field(
        None, validation_alias="EVERCALL_TWILIO_OLD_AUTH_TOKENS"
    )
    twilio_base_url: str | None = Field(None, validation_alias="EVERCALL_TWILIO_BASE_URL")
    public_url: str | None = Field(None, validation_alias="EVERCALL_PUBLIC_URL")
    phone_number: str | None = Field(None, validation_alias="EVERCALL_PHONE_NUMBER")
    forward_number: str | None = Field(None, validation_alias="EVERCALL_FORWARD_NUMBER")

    # The worker itself.
    agent: Path | None = Field(None, validation_alias="EVERCALL_AGENT")
    data_dir: Path = Field(Path("evercall-data"), validation_alias="EVERCALL_DATA_DIR")
    database_url: SecretStr | None = Field(None, validation_alias="EVERCALL_DATABASE_URL")
    broker_url: SecretStr | None = Field(None, validation_alias="EVERCALL_BROKER_URL")
    calls_per_second: float = Field(1.0, gt=0, le=500, validation_alias="EVERCALL_CALLS_PER_SECOND")
    kept_for_inbound: int = Field(0, ge=0, validation_alias="EVERCALL_KEPT_FOR_INBOUND")
    max_calls: int = Field(100, ge=1, validation_alias="EVERCALL_MAX_CALLS")
    prewarm: bool = Field(True, validation_alias="EVERCALL_PREWARM")
    hung_s: float = Field(8.0, ge=0, le=3_600, validation_alias="EVERCALL_HUNG_S")
    drain_settle_s: float = Field(2.0, ge=0, le=600, validation_alias="EVERCALL_DRAIN_SETTLE_S")
    drain_s: float = Field(300.0, ge=0, le=86_400, validation_alias="EVERCALL_DRAIN_S")
    recycle_calls: int | None = Field(None, ge=1, validation_alias="EVERCALL_RECYCLE_CALLS")
    recycle_memory_mb: int | None = Field(None, ge=1, validation_alias="EVERCALL_RECYCLE_MEMORY_MB")
    ticket_secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(32)),
        validation_alias="EVERCALL_TICKET_SECRET",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="EVERCALL_LOG_LEVEL"
    )

    @check("twilio_account_sid")
    @classmethod
    def _account_sid(cls, value: str | None) -> str | None:
        if value is not None and not _ACCOUNT_SID.fullmatch(value):
            raise ValueError("must be AC and 32 hexadecimal digits")
        return value

    @check("phone_number", "forward_number")
    @classmethod
    def _number(cls, value: str | None) -> str | None:
        if value is not None and not _E164.fullmatch(value):
            raise ValueError("must be a number in E.164 form, such as +15550100001")
        return value

    @check(
        "google_base_url",
        "google_vertex_base_url",
        "text_base_url",
        "twilio_base_url",
        "public_url",
    )
    @classmethod
    def _url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://voice.example")
        _ = parts.port  # raises where it is no number
        if parts.query or parts.fragment or parts.username:
            raise ValueError("must have no query, fragment or user name")
        if info.field_name == "public_url":
            if "_" in parts.hostname:
                # twilio.com/docs/voice/api/call-resource, StatusCallback
                raise ValueError("must have no underscore in its host name; Twilio refuses it")
            local = parts.hostname in _LOOPBACK or info.data.get("twilio_base_url") is not None
            if parts.scheme == "http" and not local:
                # Error 31922: Twilio opens streams over wss only.
                raise ValueError("must begin with https://")
        return value.rstrip("/")

    @check("ssl_cert_file")
    @classmethod
    def _file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("must be a file that exists")
        return value

    @check("hung_s")
    @classmethod
    def _hung(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError("must be 0, which is never, or at least 1")
        return value

    @check("ticket_secret")
    @classmethod
    def _secret(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return value

    @check("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        if not url.startswith(
            ("sqlite:///", "postgresql://", "postgresql+psycopg://", "postgres://")
        ):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        if url.partition("?")[0] in ("sqlite:///", "sqlite:///:memory:"):
            # Each of the store's threads would have one of its own.
            raise ValueError("must name a file behind sqlite:///")
        if not url.startswith("sqlite") and not _has_good_port(url):
            raise ValueError("must have a number for its port, and %40 for an @ in its password")
        return value

    @check("broker_url")
    @classmethod
    def _broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        if not url.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
            raise ValueError("must begin with redis://, rediss://, amqp:// or amqps://")
        if not _has_good_port(url):
            raise ValueError("must have a number for its port, and %40 for an @ in its password")
        if not urlsplit(url).hostname:
            raise ValueError("must name a host")
        return value

    @property
    def database(self) -> str:
        """The database's address; SQLite in the data directory unless one is set."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir / 'evercall.sqlite3'}"
        return self.database_url.get_secret_value()

    def live(self) -> LiveSettings:
        """The Live side's settings; ``LiveDialer.check`` says what is missing among them."""
        key = self.google_api_key
        vertex = self.google_use_vertexai
        return LiveSettings(
            api_key=key.get_secret_value() if key else None,
            base_url=self.google_vertex_base_url if vertex else self.google_base_url,
            vertexai=vertex,
            project=self.google_project,
            location=self.google_location,
            ca_file=str(self.ssl_cert_file) if self.ssl_cert_file else None,
        )

    def text_model(self) -> TextModelSettings:
        """The text model's settings: the Live side's, and its own address and location if set.

        The Live API's address stands in for it, as it does in the SDK itself: a gateway is rarely
        meant for half of the traffic, and where a wall around the network needs one, transcripts
        must not go past it. One that knows nothing but the Live API says so, at the first summary
        and in ``evercall doctor``.
        """
        live = self.live()
        own = self.text_base_url
        live_name = "GOOGLE_VERTEX_BASE_URL" if live.vertexai else "GOOGLE_GEMINI_BASE_URL"
        return TextModelSettings(
            api_key=live.api_key,
            base_url=own or live.base_url,
            base_url_setting=live_name if live.base_url and not own else "EVERCALL_TEXT_BASE_URL",
            vertexai=live.vertexai,
            project=live.project,
            location=self.text_location or live.location,
            ca_file=live.ca_file,
        )

    def twilio(self) -> TwilioSettings:
        """The Twilio side's settings.

        Raises:
            SettingsError: one that the worker cannot be without is not set.
        """
        account_sid, auth_token = self.twilio_account_sid, self.twilio_auth_token
        public_url = self.public_url
        if account_sid is None or auth_token is None or public_url is None:
            missing = {
                "TWILIO_ACCOUNT_SID": account_sid,
                "TWILIO_AUTH_TOKEN": auth_token,
                "EVERCALL_PUBLIC_URL": public_url,
            }
            raise SettingsError(
                "\n".join(f"{name}: is not set" for name, value in missing.items() if not value)
            )
        old = self.twilio_old_auth_tokens
        return TwilioSettings(
            account_sid=account_sid,
            auth_token=auth_token.get_secret_value(),
            public_url=public_url,
            old_auth_tokens=_split(old.get_secret_value()) if old else (),
            base_url=self.twilio_base_url,
            phone_number=self.phone_number,
            forward_number=self.forward_number,
            ca_file=self.ssl_cert_file,
        )


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> WorkerSettings:
    """Read the environment and ``env_file``; ``overrides`` (by field name) win over both.

    Raises:
        SettingsError: values are wrong; one line each, naming the setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        # pydantic-settings takes _env_file, but its typed signature shows the fields alone.
        return WorkerSettings(_env_file=env_file, **given)  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error))) from None


def secret_named(name: str, env_file: Path | None = Path(".env")) -> str | None:
    """What a campaign's file names only: the value of this variable; None where it is not set."""
    return os.environ.get(name) or (dotenv_values(env_file).get(name) if env_file else None) or None


def _has_good_port(url: str) -> bool:
    try:
        return (urlsplit(url).port or 1) > 0
    except ValueError:
        return False


def _split(text: str) -> tuple[str, ...]:
    return tuple(token for part in text.split(",") if (token := part.strip()))


def _lines(error: ValidationError) -> list[str]:
    names = {
        field_name: _setting(field.validation_alias)
        for field_name, field in WorkerSettings.model_fields.items()
    }
    secret = {
        _setting(field.validation_alias)
        for field in WorkerSettings.model_fields.values()
        if "SecretStr" in str(field.annotation)
    }
    lines = []
    for problem in error.errors():
        place = str(problem["loc"][0]) if problem["loc"] else "settings"
        name = names.get(place, place)
        text = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
        got = "" if name in secret else f", got {str(problem['input'])!r}"
        lines.append(f"{name}: {text}{got}")
    return lines


def _setting(alias: object) -> str:
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias)
