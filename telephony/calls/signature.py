"""Whether a request is Twilio's: its signature over the configured public address.

Source: twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator, get_signature_algorithm

from telephony.calls.webhooks import Form
from telephony.errors import SignatureRejected
from telephony.settings import TwilioSettings


class SignatureCheck:
    """Tells Twilio's requests from others' by their signature over the configured address."""

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        self._validators = [RequestValidator(token) for token in settings.signing_tokens]
        # An upgrade has no parameters, so what its signature may be is known beforehand.
        self._upgrades = [
            validator.compute_signature(url, {}).encode()
            for validator in self._validators
            for url in _upgrade_urls(settings.media_url)
        ]

    def check_webhook(
        self, path: str, query: str, form: Form, signature: str, signature_settings: str = ""
    ) -> None:
        """Accept a webhook's signature by any of the account's tokens.

        Args:
            path: ours, without the public address's.
            query: as received, still encoded: it is signed as it was sent.
            form: the body's fields.
            signature: ``X-Twilio-Signature``.
            signature_settings: ``X-Twilio-Webhooks-Signature-Settings``.

        Raises:
            SignatureRejected: none fits.
        """
        url = self._settings.url(path) + (f"?{query}" if query else "")
        algorithm = get_signature_algorithm(signature_settings)
        if not any(
            validator.validate(url, form, signature, algorithm) for validator in self._validators
        ):
            raise SignatureRejected(path)

    def check_upgrade(self, signature: str) -> None:
        """Accept the signature of a media socket's upgrade request.

        Raises:
            SignatureRejected: none fits.
        """
        given = signature.encode("utf-8", "surrogateescape")
        # No short cut at the first that fits: every comparison takes its time.
        if not sum(hmac.compare_digest(given, expected) for expected in self._upgrades):
            raise SignatureRejected("the media socket")


def _upgrade_urls(media_url: str) -> list[str]:
    """What Twilio may have signed for a socket: with and without port and slash at the end.

    The signed string is the ``wss`` address of the TwiML (twilio-aspnet #162); whether a port or
    a slash is added is not documented, and the SDK's validator would try ``:80`` for ``wss``.
    """
    parts = urlsplit(media_url)
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    path = parts.path.rstrip("/")
    return [
        parts._replace(netloc=netloc, path=path + slash).geturl()
        for netloc in (host, f"{host}:{port}")
        for slash in ("", "/")
    ]
