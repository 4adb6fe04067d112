"""Only what carries Twilio's signature over the configured address is Twilio's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.calls.signature import SignatureCheck
from telephony.calls.webhooks import Form
from telephony.errors import MalformedWebhook, SignatureRejected
from telephony.settings import TwilioSettings

SETTINGS = TwilioSettings(
    "AC1", "new-token", "https://voice.example", old_auth_tokens=("old-token",)
)
CHECK = SignatureCheck(SETTINGS)


def sign(token: str, url: str, fields: list[tuple[str, str]] | None = None) -> str:
    """Twilio's recipe, written anew: it shares no code with what it tests."""
    text = url + "".join(name + value for name, value in sorted(set(fields or [])))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def form(**fields: str) -> Form:
    return Form(urlencode(fields).encode())


CALL = {"CallSid": "CA1", "From": "+15550100001", "CallStatus": "ringing"}


def test_documented_example_is_accepted() -> None:
    """The signature of Twilio's own documentation fits its request."""
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+12349013030",
        "Digits": "1234",
        "From": "+12349013030",
        "To": "+18005551212",
    }
    check = SignatureCheck(TwilioSettings("AC1", "12345", "https://mycompany.com"))
    signature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    check.check_webhook("/myapp.php", "foo=1&bar=2", form(**fields), signature)
    with pytest.raises(SignatureRejected):
        check.check_webhook("/myapp.php", "bar=2&foo=1", form(**fields), signature)


@pytest.mark.parametrize("token", ["new-token", "old-token"])
def test_every_token_of_a_rotation_is_accepted(token: str) -> None:
    """While a token is being rotated, both the new and the old one sign."""
    signature = sign(token, "https://voice.example/voice", list(CALL.items()))
    CHECK.check_webhook("/voice", "", form(**CALL), signature)
    CHECK.check_upgrade(sign(token, "wss://voice.example/media"))


def test_blank_and_repeated_fields_are_signed() -> None:
    """Blank fields count, and a repeated one counts with each of its values."""
    fields = [("FromCity", ""), ("CallSid", "CA1"), ("Event", "b"), ("Event", "a")]
    signature = sign("new-token", "https://voice.example/voice", fields)
    CHECK.check_webhook("/voice", "", Form(urlencode(fields).encode()), signature)


def test_host_with_port_is_accepted() -> None:
    """Twilio's back ends differ in whether they sign the port."""
    signature = sign("new-token", "https://voice.example:443/voice", list(CALL.items()))
    CHECK.check_webhook("/voice", "", form(**CALL), signature)


@pytest.mark.parametrize(
    "url",
    [
        "wss://voice.example/media",
        "wss://voice.example/media/",
        "wss://voice.example:443/media",
        "wss://voice.example:443/media/",
    ],
)
def test_upgrade_signature_variants_are_accepted(url: str) -> None:
    """Port and slash at the end may or may not be in the signed address of a socket."""
    CHECK.check_upgrade(sign("new-token", url))


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "é",
        sign("wrong-token", "wss://voice.example/media"),
        sign("new-token", "https://voice.example/media"),
        sign("new-token", "wss://other.example/media"),
        sign("new-token", "wss://voice.example:80/media"),
    ],
)
def test_other_upgrade_signatures_are_refused(signature: str) -> None:
    """No token, no host and no scheme but the configured ones."""
    with pytest.raises(SignatureRejected):
        CHECK.check_upgrade(signature)


@given(st.binary(max_size=300), st.text(max_size=60), st.text(max_size=60))
def test_garbage_is_refused(body: bytes, query: str, signature: str) -> None:
    """Any bytes meet a declared error."""
    with pytest.raises((SignatureRejected, MalformedWebhook)):
        CHECK.check_webhook("/voice", query, Form(body), signature)
    with pytest.raises(SignatureRejected):
        CHECK.check_upgrade(signature)


def test_body_hash_in_the_query_does_not_replace_the_fields() -> None:
    """The SDK's rule for JSON bodies must not make a form unsigned."""
    query = "bodySHA256=" + hashlib.sha256(b"").hexdigest()
    signature = sign("new-token", f"https://voice.example/voice?{query}")
    with pytest.raises(SignatureRejected):
        CHECK.check_webhook("/voice", query, form(**CALL), signature)
