"""Settings as far as they can be used, and what is wrong with the rest.

A worker refuses to start on the first trouble; here a wrong setting counts as unset, so that
everything that does not depend on it can still be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AliasChoices

from agent.errors import LiveConnectRefused
from agent.live.dialer import LiveDialer
from workers.entrypoints.checks.finding import Finding, fail, ok
from workers.settings import SettingsError, WorkerSettings, load_settings

LIVE_SETTINGS = (
    "GOOGLE_API_KEY",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
)
MENDS: Mapping[str, str] = {
    "GOOGLE_API_KEY": "make a key at aistudio.google.com/apikey and set it",
    "GOOGLE_CLOUD_PROJECT": "name the Google Cloud project whose Vertex AI is to be used",
    "GOOGLE_APPLICATION_CREDENTIALS": "run `gcloud auth application-default login`",
    "GOOGLE_GEMINI_BASE_URL": "leave it unset for Google's own Live API",
    "GOOGLE_VERTEX_BASE_URL": "leave it unset for Google's own Live API",
    "EVERCALL_TEXT_BASE_URL": "leave it unset for the address of the Live API, or name the https "
    "address of one that serves text models",
    "SSL_CERT_FILE": "name a PEM file of certificate authorities, or leave it unset",
    "TWILIO_ACCOUNT_SID": "copy the account SID from console.twilio.com",
    "TWILIO_AUTH_TOKEN": "copy the account's primary auth token from console.twilio.com",
    "EVERCALL_PUBLIC_URL": "set it to the https address where Twilio reaches this worker, such as "
    "a tunnel's",
    "EVERCALL_PHONE_NUMBER": "set it to your Twilio number, as +15550100001",
    "EVERCALL_AGENT": "name an agent's file there, or give --agent FILE",
    "voice": "name one of the model's voices (ai.google.dev/gemini-api/docs/speech-generation)",
    "context.summary.model": "name a text model that the key may use "
    "(ai.google.dev/gemini-api/docs/models), or leave it out; the summary is then kept by rules",
    "model": "name a Live model that the key may use (ai.google.dev/gemini-api/docs/models)",
}
_ELSE = "see infra/env.example"


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings that can be used; ``unusable`` says of the others why not."""

    settings: WorkerSettings
    unusable: Mapping[str, str]
    findings: tuple[Finding, ...]

    def lacks(self, names: tuple[str, ...]) -> str | None:
        """Why a check that needs these settings cannot be made; None where it can."""
        for name in names:
            if name in self.unusable:
                return f"{name} {self.unusable[name]}"
        return None


def mend_of(setting: str) -> str:
    """How to mend what is wrong with a setting, or a field of the agent's file."""
    return MENDS.get(setting, _ELSE)


def read_settings(*, agent: Path | None, env_file: Path | None = Path(".env")) -> Configured:
    """Read the settings, wrong ones left out."""
    given: dict[str, Any] = {} if agent is None else {"agent": agent}
    unusable: dict[str, str] = {}
    findings: list[Finding] = []
    try:
        settings = load_settings(env_file, **given)
    except SettingsError as error:
        lines = str(error).splitlines()
        findings += [fail(line, mend_of(_name(line))) for line in lines]
        unusable |= {_name(line): "is wrong" for line in lines}
        # An argument wins over the environment, where the wrong value stands.
        # pydantic-settings takes _env_file, but its typed signature shows the fields alone.
        settings = WorkerSettings(_env_file=env_file, **_defaults(unusable), **given)  # type: ignore[call-arg]
    for name, missing in _required(settings):
        if missing and name not in unusable:
            findings.append(fail(f"{name}: is not set", mend_of(name)))
            unusable[name] = "is not set"
    if settings.phone_number is None:
        # Not required: calls are taken without it, and `evercall call` has --from.
        unusable.setdefault("EVERCALL_PHONE_NUMBER", "is not set")
    trouble = _live_trouble(settings)
    if trouble is not None and trouble.setting == "SSL_CERT_FILE":
        findings.append(fail(str(trouble), mend_of(trouble.setting)))
        settings = settings.model_copy(update={"ssl_cert_file": None})
        trouble = _live_trouble(settings)
    if trouble is not None and trouble.setting not in unusable:
        findings.append(fail(str(trouble), mend_of(trouble.setting)))
        is_unset = str(trouble).endswith("is not set")
        unusable[trouble.setting] = "is not set" if is_unset else "is wrong"
    if not findings:
        findings.append(ok("everything needed is set and well formed"))
    return Configured(settings, unusable, tuple(findings))


def _required(settings: WorkerSettings) -> list[tuple[str, bool]]:
    return [
        ("TWILIO_ACCOUNT_SID", settings.twilio_account_sid is None),
        ("TWILIO_AUTH_TOKEN", settings.twilio_auth_token is None),
        ("EVERCALL_PUBLIC_URL", settings.public_url is None),
        ("EVERCALL_AGENT", settings.agent is None),
    ]


def _live_trouble(settings: WorkerSettings) -> LiveConnectRefused | None:
    try:
        LiveDialer(settings.live()).check()
    except LiveConnectRefused as error:
        return error
    return None


def _name(line: str) -> str:
    return line.partition(":")[0]


def _defaults(names: Mapping[str, str]) -> dict[str, Any]:
    """The default of each named setting, by field."""
    found: dict[str, Any] = {}
    for field_name, field in WorkerSettings.model_fields.items():
        alias = field.validation_alias
        known = alias.choices if isinstance(alias, AliasChoices) else [alias]
        if any(name in names for name in known):
            found[field_name] = field.get_default(call_default_factory=True)
    return found
