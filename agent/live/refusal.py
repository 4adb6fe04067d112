"""Why the Live API would not have us: one line that names the setting to look at.

The server says little, and says it in different places: a status at the upgrade, a close code with
a reason instead of ``setupComplete``, or nothing at all. Codes and reasons as seen in the field;
where a code has several meanings the reason text decides.
"""

from __future__ import annotations

import re
import socket
import ssl

from google.auth import exceptions as auth_errors
from google.genai import errors as genai_errors
from websockets import exceptions as ws_errors

from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError
from agent.live.settings import LiveSettings
from agent.spec import AgentSpec

_QUOTA = re.compile(r"quota|rate.?limit|resource.?exhausted|overloaded", re.IGNORECASE)
_PASSING = re.compile(
    r"deadline expired|operation was aborted|currently unavailable|internal error", re.IGNORECASE
)
_KEY = re.compile(r"api.?key|permission|unauthenticated|credential|unauthorized", re.IGNORECASE)
_VOICE = re.compile(r"voice", re.IGNORECASE)
_MODEL = re.compile(r"models?\b|bidiGenerateContent", re.IGNORECASE)
_MAX_REASON_CHARS = 200


def explain(error: BaseException, *, settings: LiveSettings, spec: AgentSpec) -> LiveError:
    """Turn whatever a dial raised into an error of ours, with its verdict."""
    if isinstance(error, LiveError):
        return error
    if isinstance(error, ws_errors.InvalidStatus):
        return _upgrade_refused(error.response.status_code, settings)
    if isinstance(error, genai_errors.APIError):
        return setup_refused(error.code or 1006, close_reason(error), settings=settings, spec=spec)
    if isinstance(error, ws_errors.ConnectionClosed):
        code, reason = close_of(error)
        return setup_refused(code, reason, settings=settings, spec=spec)
    if isinstance(error, auth_errors.GoogleAuthError):
        if isinstance(error, auth_errors.TransportError):
            return LiveConnectFailed(f"no access token: {_short(str(error))}")
        return LiveConnectRefused("GOOGLE_APPLICATION_CREDENTIALS", _short(str(error)))
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or _short(str(error))
        message = f"the certificate of {_host(settings)} is not trusted: {why}"
        return LiveConnectRefused("SSL_CERT_FILE", message)
    if isinstance(error, TimeoutError):
        return LiveConnectFailed(
            f"{_host(settings)} did not complete the setup in time", setup_sent=True
        )
    if isinstance(error, socket.gaierror):
        return LiveConnectFailed(f"{_host(settings)} has no address{_base_url_hint(settings)}")
    if isinstance(error, OSError | ws_errors.InvalidHandshake | EOFError):
        return LiveConnectFailed(
            f"{_host(settings)} cannot be reached: {_short(str(error)) or type(error).__name__}"
            f"{_base_url_hint(settings)}"
        )
    if isinstance(error, ws_errors.InvalidURI):
        return LiveConnectRefused("GOOGLE_GEMINI_BASE_URL", "is not a URL")
    # The SDK checks the setup before it dials and raises these.
    return LiveConnectRefused(f"agent {spec.name}", _short(str(error)) or type(error).__name__)


def setup_refused(
    code: int, reason: str, *, settings: LiveSettings, spec: AgentSpec
) -> LiveConnectRefused | LiveConnectFailed:
    """Read a close that came instead of ``setupComplete``."""
    said = f" (close {code}: {_short(reason)})" if reason else f" (close {code})"

    def failed(message: str) -> LiveConnectFailed:
        return LiveConnectFailed(f"{message}{said}", code=code, reason=reason, setup_sent=True)

    if _PASSING.search(reason):
        return failed(f"{_host(settings)} closed before the setup was complete")
    if _QUOTA.search(reason):
        return failed(f"the quota of {_key_setting(settings)} is used up")
    if _VOICE.search(reason):
        return _refused(spec, "voice", f"{spec.voice!r} is not known{said}")
    if _KEY.search(reason):
        return LiveConnectRefused(_key_setting(settings), f"was refused{said}", setup_sent=True)
    if _MODEL.search(reason) or code == 1008:
        return _refused(spec, "model", f"{spec.model!r} is not to be had here{said}")
    if code == 1007:
        return LiveConnectRefused(
            f"agent {spec.name}", f"the setup was refused{said}", setup_sent=True
        )
    return failed(f"{_host(settings)} closed before the setup was complete")


def close_of(error: ws_errors.ConnectionClosed) -> tuple[int, str]:
    """Code and reason of a closed WebSocket, 1006 where the other side said nothing."""
    if error.rcvd is not None:
        return error.rcvd.code, error.rcvd.reason
    if error.sent is not None:
        return 1006, f"closed by us with {error.sent.code} {error.sent.reason}".strip()
    return 1006, ""


def close_reason(error: genai_errors.APIError) -> str:
    """The reason text of a close that the SDK has made an ``APIError`` of.

    Observed with google-genai 2.34: ``message`` is None, the text is in ``details``.
    """
    details = error.details
    return error.message or (details if isinstance(details, str) else "")


def _upgrade_refused(status: int, settings: LiveSettings) -> LiveError:
    answer = f"{_host(settings)} answered HTTP {status}"
    if status in (400, 401, 403):
        return LiveConnectRefused(_key_setting(settings), f"was refused, {answer}")
    if status == 404:
        return LiveConnectRefused(_base_url_setting(settings), f"is no Live API, {answer}")
    if status == 429:
        message = f"the quota of {_key_setting(settings)} is used up, {answer}"
        return LiveConnectFailed(message, code=status, reason="quota")
    return LiveConnectFailed(f"{answer} at the upgrade", code=status)


def _refused(spec: AgentSpec, field: str, message: str) -> LiveConnectRefused:
    issue = spec.issue((field,), message)
    if issue.line is not None:
        message = f"{message}, see {issue.file}:{issue.line}"
    return LiveConnectRefused(field, message, setup_sent=True)


def _key_setting(settings: LiveSettings) -> str:
    if settings.vertexai and not settings.api_key:
        return "GOOGLE_APPLICATION_CREDENTIALS"
    return "GOOGLE_API_KEY"


def _base_url_setting(settings: LiveSettings) -> str:
    return "GOOGLE_VERTEX_BASE_URL" if settings.vertexai else "GOOGLE_GEMINI_BASE_URL"


def _base_url_hint(settings: LiveSettings) -> str:
    return f"; look at {_base_url_setting(settings)}" if settings.base_url else ""


def _host(settings: LiveSettings) -> str:
    return settings.base_url or "the Live API"


def _short(text: str) -> str:
    return " ".join(text.split())[:_MAX_REASON_CHARS]
