"""The Twilio account and the addresses under which it and we find each other, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

MEDIA_PATH = "/media"


@dataclass(frozen=True, slots=True)
class TwilioSettings:
    """One account, one public address.

    ``public_url`` is what Twilio requests and signs, so it is configured and never rebuilt from a
    request: behind a proxy the two differ (twilio-node #321, twilio-python #751).
    """

    account_sid: str
    auth_token: str = field(repr=False)
    public_url: str
    """``https://host``, without a slash at the end; ``http`` only for a twin on this machine."""
    old_auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    """Tokens that may still sign requests while the account's token is being rotated."""
    base_url: str | None = None
    """Where REST requests go instead of ``https://api.twilio.com``; None is Twilio itself."""
    phone_number: str | None = None
    """Our own number: caller ID of outbound calls."""
    forward_number: str | None = None
    """Who answers instead when there are too many calls; None means a spoken refusal."""
    ca_file: Path | None = None
    """Certificate authorities for REST, in place of the system's."""
    rest_timeout_s: float = 10.0
    """Twilio's own ceiling for a call-related webhook is 15 s; an answer later is of no use."""

    @property
    def signing_tokens(self) -> tuple[str, ...]:
        """Every token whose signature is accepted, the current one first."""
        return (self.auth_token, *self.old_auth_tokens)

    def url(self, path: str) -> str:
        """The public address of one of our paths."""
        return f"{self.public_url}{path}"

    @property
    def media_url(self) -> str:
        """Where the media stream is opened: ``wss://`` (``ws://`` where public_url is http)."""
        parts = urlsplit(self.url(MEDIA_PATH))
        return parts._replace(scheme="ws" if parts.scheme == "http" else "wss").geturl()
