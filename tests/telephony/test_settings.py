"""Addresses are built from the configured public one."""

from __future__ import annotations

import pytest

from telephony.settings import TwilioSettings


@pytest.mark.parametrize(
    ("public_url", "media_url"),
    [
        ("https://voice.example", "wss://voice.example/media"),
        ("https://voice.example:8443/a", "wss://voice.example:8443/a/media"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/media"),
    ],
)
def test_media_url_has_the_public_host(public_url: str, media_url: str) -> None:
    """Streams are opened over TLS unless the public address is a local twin's."""
    assert TwilioSettings("AC1", "token", public_url).media_url == media_url


def test_tokens_are_not_shown() -> None:
    """Neither the token nor its predecessors appear in a log of the settings."""
    settings = TwilioSettings("AC1", "sesame", "https://x", old_auth_tokens=("oldsesame",))
    assert "sesame" not in repr(settings)
    assert settings.signing_tokens == ("sesame", "oldsesame")
