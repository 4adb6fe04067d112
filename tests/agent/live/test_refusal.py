"""What a failed dial means: one line, the setting first, and whether to try again."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from google.auth import exceptions as auth_errors
from google.genai import errors as genai_errors
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError, Verdict
from agent.live.refusal import close_of, explain
from agent.live.settings import LiveSettings
from agent.spec import AgentSpec, load_agent

DEVELOPER = LiveSettings(api_key="secret-key")
VERTEX = LiveSettings(vertexai=True, project="p")
SPEC = AgentSpec(name="bakery", system_instruction="Be kind.")


def status(code: int) -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers()))


def closed(code: int, reason: str) -> genai_errors.APIError:
    return genai_errors.APIError(code, reason)  # as google-genai 2.34 raises it from connect()


def auth_error(name: str) -> Exception:
    error: Exception = getattr(auth_errors, name)("not found")  # the package has no types
    return error


def line(error: BaseException, settings: LiveSettings = DEVELOPER) -> LiveError:
    explained = explain(error, settings=settings, spec=SPEC)
    assert "\n" not in str(explained)
    assert "secret-key" not in str(explained)
    return explained


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (status(401), "GOOGLE_API_KEY"),
        (status(403), "GOOGLE_API_KEY"),
        (status(404), "GOOGLE_GEMINI_BASE_URL"),
        (closed(1007, "API key not valid. Please pass a valid API key."), "GOOGLE_API_KEY"),
        (closed(1008, "models/x is not found for API version v1beta"), "model"),
        (closed(1008, ""), "model"),
        (closed(1007, "Requested voice api_name 'Zed' is not available"), "voice"),
        (closed(1007, 'Unknown name "toolConfig"'), "agent bakery"),
        (ValueError("proactivity parameter is not supported"), "agent bakery"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "SSL_CERT_FILE"),
    ],
)
def test_refusal_names_its_setting(error: BaseException, setting: str) -> None:
    """Another try would meet the same, so the operator is told where to look."""
    refused = line(error)
    assert isinstance(refused, LiveConnectRefused)
    assert refused.setting == setting
    assert refused.verdict is Verdict.END
    assert str(refused).startswith(f"{setting}: ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (status(429), "quota"),
        (status(503), "HTTP 503"),
        (closed(1011, "You exceeded your current quota, please check your plan"), "quota"),
        (closed(1011, "The service is currently unavailable."), "1011"),
        (TimeoutError(), "in time"),
        (socket.gaierror(-2, "Name or service not known"), "no address"),
        (ConnectionRefusedError(111, "refused"), "cannot be reached"),
        (ConnectionClosedError(None, None), "1006"),
        (auth_error("TransportError"), "no access token"),
    ],
)
def test_what_may_pass_is_tried_again(error: BaseException, said: str) -> None:
    """A fault of the network, the server or the moment is no refusal."""
    failed = line(error)
    assert isinstance(failed, LiveConnectFailed)
    assert failed.verdict is Verdict.RETRY
    assert said in str(failed)


def test_vertex_has_settings_of_its_own() -> None:
    """There is no key to look at where credentials are used."""
    refused = line(status(403), VERTEX)
    assert isinstance(refused, LiveConnectRefused)
    assert refused.setting == "GOOGLE_APPLICATION_CREDENTIALS"
    missing = line(auth_error("DefaultCredentialsError"), VERTEX)
    assert isinstance(missing, LiveConnectRefused)
    assert missing.setting == "GOOGLE_APPLICATION_CREDENTIALS"


def test_field_of_the_agent_file_is_given_with_its_line(tmp_path: Path) -> None:
    """A model or voice comes from a file, and the file has lines."""
    path = tmp_path / "agent.yaml"
    path.write_text("name: bakery\nsystem_instruction: Be kind.\nvoice: Zed\n")
    refused = explain(
        closed(1007, "voice Zed is not available"), settings=DEVELOPER, spec=load_agent(path)
    )
    assert f"{path}:3" in str(refused)


def test_our_own_close_is_told_from_the_peers() -> None:
    """A frame too large is closed by our library; the other side said nothing."""
    ours = ConnectionClosedError(None, Close(1009, "frame too large"))
    assert close_of(ours) == (1006, "closed by us with 1009 frame too large")
    theirs = ConnectionClosedError(Close(1011, "Internal error"), None)
    assert close_of(theirs) == (1011, "Internal error")
