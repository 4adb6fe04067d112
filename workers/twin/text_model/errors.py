"""The error envelopes of Google's APIs: ``{"error": {"code", "message", "status", "details"}}``.

Texts and details as seen in the issues of googleapis/python-genai, google-gemini/gemini-cli and
vercel/ai between 2025 and 2026; a wrong key is a 400 there, not a 401.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_GRPC = "type.googleapis.com/google.rpc"
_SERVICE = "generativelanguage.googleapis.com"
_BY_STATUS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: (
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential.",
    ),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
    ),
    500: ("INTERNAL", "An internal error has occurred. Please retry or report it."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}


class ApiError(Exception):
    """A request is answered with an error."""

    def __init__(
        self, status: int, message: str = "", details: Sequence[dict[str, Any]] = ()
    ) -> None:
        name, usual = _BY_STATUS.get(status, ("UNKNOWN", "Unknown Error."))
        self.status = status
        self.envelope: dict[str, Any] = {
            "error": {"code": status, "message": message or usual, "status": name}
        }
        if details:
            self.envelope["error"]["details"] = list(details)
        super().__init__(message or usual)


def of_status(status: int, model: str) -> ApiError:
    """Return the error that usually comes with ``status``."""
    if status != 429:
        return ApiError(status)
    violation = {
        "quotaMetric": f"{_SERVICE}/generate_content_free_tier_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": "10",
    }
    return ApiError(
        status,
        details=[
            {"@type": f"{_GRPC}.QuotaFailure", "violations": [violation]},
            {"@type": f"{_GRPC}.RetryInfo", "retryDelay": "34s"},
        ],
    )


def wrong_key() -> ApiError:
    """Return the error for a key that does not exist."""
    message = "API key not valid. Please pass a valid API key."
    info = {
        "@type": f"{_GRPC}.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": _SERVICE},
    }
    local = {"@type": f"{_GRPC}.LocalizedMessage", "locale": "en-US", "message": message}
    return ApiError(400, message, [info, local])


def no_key() -> ApiError:
    """Return the error for a request that brings no key at all."""
    return ApiError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please "
        "use API Key or other form of API consumer identity to call this API.",
    )


def unknown_model(model: str, *, vertex_path: str | None) -> ApiError:
    """Return the error for a model that is not there, or makes no text."""
    if vertex_path is not None:
        return ApiError(
            404,
            f"Publisher Model `{vertex_path}` was not found or your project does not have access "
            "to it. Please ensure you are using a valid model version.",
        )
    return ApiError(
        404,
        f"models/{model} is not found for API version v1beta, or is not supported for "
        "generateContent. Call ListModels to see the list of available models and their supported "
        "methods.",
    )
