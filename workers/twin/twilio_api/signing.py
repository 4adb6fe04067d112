"""Signatures as Twilio makes them, written from its documentation.

Source: twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Literal

Signing = Literal["good", "bad", "missing"]

HEADER = "X-Twilio-Signature"


def sign(auth_token: str, url: str, params: Mapping[str, str] | None = None) -> str:
    """Sign a request: HMAC-SHA1 over the URL and every parameter, blank ones too, by name.

    The fragment (connection overrides) is not part of what is signed.
    """
    signed = url.partition("#")[0]
    signed += "".join(name + value for name, value in sorted((params or {}).items()))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def headers(
    auth_token: str, url: str, params: Mapping[str, str] | None = None, signing: Signing = "good"
) -> dict[str, str]:
    """Give the signature header, or a wrong one, or none."""
    if signing == "missing":
        return {}
    return {HEADER: sign(auth_token if signing == "good" else auth_token + "x", url, params)}
