"""Why a text model gave no answer: one line that names the setting to look at.

Google says a wrong key with HTTP 400 and ``API_KEY_INVALID``, not with 401; errors without JSON
come from whatever else stands at the address. Texts as seen in the issues of
googleapis/python-genai and google-gemini/gemini-cli.
"""

from __future__ import annotations

import json
import re
import ssl

import aiohttp
from google.auth import exceptions as auth_errors
from google.genai import errors as genai_errors
from pydantic import ValidationError

from agent.context.settings import TextModelSettings
from agent.context.text_model import TextModelFailed

MODEL_SETTING = "context.summary.model"
_KEY = re.compile(r"api.?key|unregistered callers|credential", re.IGNORECASE)
_MAX_REASON_CHARS = 200


def explain(error: Exception, *, settings: TextModelSettings, model: str) -> TextModelFailed:
    """Turn whatever a request raised into an error of ours."""
    if isinstance(error, TextModelFailed):
        return error
    if isinstance(error, genai_errors.APIError):
        return _refused(error, settings, model)
    if isinstance(error, auth_errors.GoogleAuthError):
        passing = isinstance(error, auth_errors.TransportError)
        return TextModelFailed(
            f"no access token for {model}: {_short(str(error))}",
            retryable=passing,
            setting=None if passing else "GOOGLE_APPLICATION_CREDENTIALS",
        )
    if isinstance(error, TimeoutError):
        return TextModelFailed(f"{model} did not answer in time", retryable=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or _short(str(error))
        return TextModelFailed(
            f"the certificate of {_host(settings)} is not trusted: {why}",
            retryable=False,
            setting="SSL_CERT_FILE",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return TextModelFailed("is not a URL", retryable=False, setting=settings.base_url_setting)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unreachable("has no address", settings)
    if isinstance(error, aiohttp.ClientError | OSError):
        return _unreachable(
            f"cannot be reached: {_short(str(error)) or type(error).__name__}", settings
        )
    if isinstance(error, json.JSONDecodeError | ValidationError):
        return _stranger("answered, and not as a text model does", settings)
    # The SDK looks at the request before it sends it, and raises these.
    return TextModelFailed(
        f"{model} cannot be asked: {_short(str(error)) or type(error).__name__}", retryable=False
    )


def trust(ca_file: str) -> ssl.SSLContext:
    """Trust the certificate authorities of a file.

    Raises:
        TextModelFailed: it cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise TextModelFailed(
            f"{ca_file} cannot be used: {error}", retryable=False, setting="SSL_CERT_FILE"
        ) from error


def _refused(
    error: genai_errors.APIError, settings: TextModelSettings, model: str
) -> TextModelFailed:
    status, said = error.code, f" (HTTP {error.code}: {_short(error.message or '')})"
    if not error.status or "<" in said:
        # No envelope of Google's; a page of HTML says nothing.
        said = f" (HTTP {status})"
    key = "GOOGLE_API_KEY" if settings.api_key else "GOOGLE_APPLICATION_CREDENTIALS"
    if status in (401, 403) or (status == 400 and _KEY.search(error.message or "")):
        return TextModelFailed(f"was refused for {model}{said}", retryable=False, setting=key)
    if status == 429:
        return TextModelFailed(
            f"the quota for {model} is used up{said}", retryable=True, setting=key
        )
    if status == 404 and error.status == "NOT_FOUND":
        where = f" in {settings.location}" if settings.vertexai and settings.location else " here"
        return TextModelFailed(
            f"{model!r} is not to be had{where}{said}", retryable=False, setting=MODEL_SETTING
        )
    if status in (404, 405):
        return _stranger(f"knows no text models{said}", settings)
    if status == 408 or status >= 500:
        return TextModelFailed(f"{model} is not available{said}", retryable=True)
    return TextModelFailed(
        f"{model!r} does not take the request{said}", retryable=False, setting=MODEL_SETTING
    )


def _stranger(what: str, settings: TextModelSettings) -> TextModelFailed:
    """Whoever is at the address is not Google."""
    return TextModelFailed(
        f"{_host(settings)} {what}", retryable=False, setting=settings.base_url_setting
    )


def _unreachable(what: str, settings: TextModelSettings) -> TextModelFailed:
    hint = f"; look at {settings.base_url_setting}" if settings.base_url else ""
    return TextModelFailed(f"{_host(settings)} {what}{hint}", retryable=True)


def _host(settings: TextModelSettings) -> str:
    return settings.base_url or "the Gemini API"


def _short(text: str) -> str:
    return " ".join(text.split())[:_MAX_REASON_CHARS]
