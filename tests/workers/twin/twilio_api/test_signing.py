"""Signatures, against the published vector and the SDK's validator."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from workers.twin.twilio_api import signing

text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


def test_published_vector() -> None:
    """The example of Twilio's documentation."""
    params = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+12349013030",
        "Digits": "1234",
        "From": "+12349013030",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signing.sign("12345", url, params) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


@given(st.dictionaries(text, text, max_size=6))
def test_validator_of_the_sdk_agrees(params: dict[str, str]) -> None:
    """For any parameters, blank ones included."""
    url = "https://voice.example/voice?x=%2F"
    signature = signing.sign("token", f"{url}#rc=2", params)
    assert RequestValidator("token").validate(url, params, signature)


def test_bad_and_missing_signatures() -> None:
    """A wrong one looks like a signature and is none."""
    good = signing.headers("token", "https://x.example/")
    assert signing.headers("token", "https://x.example/", signing="bad").keys() == good.keys()
    assert signing.headers("token", "https://x.example/", signing="bad") != good
    assert signing.headers("token", "https://x.example/", signing="missing") == {}
