"""Single values of a campaign's file: the text that it holds, to what that means.

Each ``read_`` takes what YAML made of the field and raises ``ValueError`` with the words for the
operator, without the field's name: whoever calls knows where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS

from agent.spec import PLACEHOLDER
from agent.yaml_source import did_you_mean
from workers.campaign.model import LineOutcome

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# Reached, or never to be called again: waiting does not change that.
_FINAL: Final = frozenset({LineOutcome.HUMAN, LineOutcome.BAD_NUMBER, LineOutcome.OPTED_OUT})
_LONGEST_WAIT: Final = timedelta(days=365)


def read_text(raw: object) -> str:
    """Text without the white space around it.

    Raises:
        ValueError: it is no text. As of all errors here, the message is what the operator reads
            after the field's name.
    """
    if not isinstance(raw, str):
        raise ValueError("must be text")  # noqa: TRY004 - pydantic reports ValueErrors only
    return raw.strip()


def _matching(pattern: str, otherwise: str) -> Callable[[object], str]:
    whole = re.compile(pattern, re.ASCII)

    def parse(raw: object) -> str:
        text = read_text(raw)
        if not whole.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return parse


read_name: Final = _matching(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "must be letters, digits, '.', '_' or '-', at most 64",
)
"""A campaign's name. As an agent's name is: it is typed on the command line."""

read_outcome_name: Final = _matching(
    r"[A-Za-z_]\w{0,63}", "must be letters, digits and '_', not a digit first"
)
"""A field of the outcome: it becomes a parameter of a tool."""

read_number: Final = _matching(
    r"\+[1-9]\d{6,14}", "must be a number in E.164 form, such as +15550100001"
)
"""A phone number. ITU-T E.164: "+", at most 15 digits, none of which leads with 0."""

read_key: Final = _matching(r"[0-9*#]", "must be one key of a phone: 0-9, * or #, in quotes")
"""A key of a phone. In quotes: YAML takes ``#`` for a comment and ``*`` for a name."""

read_env_name: Final = _matching(r"[A-Za-z_]\w*", "must be the name of an environment variable")
"""The name of an environment variable, which holds what no file should."""


def read_duration(raw: object) -> timedelta:
    """A length of time such as ``30s``, ``5m``, ``4h`` or ``1d``.

    Six digits at most: more than that no ``timedelta`` may hold.
    """
    found = re.fullmatch(r"([0-9]{1,6}) ?([smhd])", read_text(raw))
    if not found:
        raise ValueError("must be a duration such as 30s, 5m, 4h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def read_wait(raw: object) -> timedelta | None:
    """How long to wait after an outcome, more than 0 s; ``off`` is None: not tried again."""
    if read_text(raw).lower() == "off":
        return None
    wait = read_duration(raw)
    if not timedelta(0) < wait <= _LONGEST_WAIT:
        raise ValueError("must be more than 0s and at most 365d, or off: not tried again")
    return wait


def read_share(raw: object) -> float:
    """``30%`` is 0.3; more than 0, at most 1."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", read_text(raw))
    if not found:
        raise ValueError("must be a share such as 30%")
    percent = float(found[1])
    if not 0 < percent <= 100:
        raise ValueError("must be more than 0% and at most 100%")
    return percent / 100


def read_limit(raw: object) -> float | None:
    """A share as ``read_share`` reads it; ``off`` is None: no limit."""
    text = read_text(raw)
    if text.lower() == "off":
        return None
    if not text.endswith("%"):
        raise ValueError("must be a share such as 30%, or off")
    return read_share(text)


def read_date(raw: object) -> date:
    """A day as ``2026-12-25``."""
    text = read_text(raw)
    # ``fromisoformat`` alone takes week dates as well.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("must be a date such as 2026-12-25")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is not a day of the calendar") from error


def read_tried_again(raw: object) -> LineOutcome:
    """An outcome for which ``spacing`` may say how long to wait."""
    text = read_text(raw)
    known = [outcome.value for outcome in LineOutcome if outcome not in _FINAL]
    if text in known:
        return LineOutcome(text)
    if text in list(LineOutcome):
        raise ValueError(f"is never tried again; spacing knows {', '.join(known)}")
    raise ValueError(f"unknown outcome{did_you_mean(text, known)}")


def read_variable(raw: object) -> str:
    """What an instruction can name between braces, letters beyond ASCII included."""
    text = read_text(raw)
    if not PLACEHOLDER.fullmatch(f"{{{{{text}}}}}"):
        raise ValueError("must be letters, digits and '_', as between {{ and }} in the instruction")
    return text


def read_delimiter(raw: object) -> str:
    """One character between the columns, given by itself or by name."""
    # Not stripped: it may be a tab.
    text = _DELIMITERS.get(raw.strip().lower(), raw) if isinstance(raw, str) else ""
    if len(text) != 1 or text.isalnum() or text in '"\r\n ':
        raise ValueError(f"must be one character, or one of {', '.join(_DELIMITERS)}")
    return text


def read_encoding(raw: object) -> str:
    """The name of a text encoding that Python knows."""
    text = read_text(raw)
    try:
        "a".encode(text)  # ``codecs.lookup`` alone also finds base64 and the like.
    except (LookupError, ValueError) as error:
        raise ValueError("is no encoding that Python knows, such as utf-8 or cp1252") from error
    return text


def read_region(raw: object) -> str:
    """A country's two letters (ISO 3166-1), in capitals."""
    text = read_text(raw).upper()
    if text not in SUPPORTED_REGIONS:
        hint = "; did you mean GB?" if text == "UK" else ""
        raise ValueError(f"must be a country's two letters (ISO 3166-1), such as US{hint}")
    return text


def read_url(raw: object) -> str:
    """An https URL without a password; http is for this machine only."""
    text = read_text(raw)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not host or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError("must be a URL such as https://crm.example.com/calls")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password; sign with secret_env instead")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must be https; http is for this machine (127.0.0.1, localhost) only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
