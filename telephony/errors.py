"""What can go wrong on the phone side: one tree, whose fault first, each with its verdict.

Callers read ``verdict`` rather than test a chain of types. Twilio's numeric codes become classes
of this tree by the table at the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal


class Verdict(StrEnum):
    """What is to be done about an error, unless the caller knows better."""

    RETRY = "retry"
    """Never processed: the same request may be made again, after a back-off."""
    RECONCILE = "reconcile"
    """Perhaps processed: find out (callbacks, listing calls) before asking again."""
    END = "end"
    """This call, stream or request is over; asking again does not help."""
    NEVER_DIAL = "never_dial"
    """This number must not be dialled again."""
    MEND_SETTINGS = "mend_settings"
    """Nothing will work until the operator changes a setting or the account."""


class TelephonyError(Exception):
    """Root of the tree."""

    verdict: ClassVar[Verdict] = Verdict.END


class LocalProtocolError(TelephonyError):
    """We did, or were asked to do, what the protocol does not allow."""


class RemoteProtocolError(TelephonyError):
    """The other side did what the protocol does not allow."""


# --- Webhooks ---------------------------------------------------------------------------------


class SignatureRejected(RemoteProtocolError):
    """The request does not carry Twilio's signature for this URL; it is not from Twilio."""


class MalformedWebhook(RemoteProtocolError):
    """A signed request lacks a field that every request of its kind has."""


# --- Media stream -----------------------------------------------------------------------------


class MalformedMessage(RemoteProtocolError):
    """A frame on the media socket is not a message of Media Streams; count it and go on."""


class StreamRejected(RemoteProtocolError):
    """No stream was started on this socket: close it with ``close_code`` and ``reason``."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


class TicketRejected(RemoteProtocolError):
    """The stream's ticket does not let it in; no model session may be opened for it."""

    def __init__(self, reason: Literal["missing", "malformed", "expired", "reused", "foreign"]):
        super().__init__(f"ticket {reason}")
        self.reason = reason


class MediaSocketClosed(TelephonyError):
    """The media socket is gone. ``code`` is the close code, 1006 where there was none."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"media socket closed with {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason


# --- REST -------------------------------------------------------------------------------------


class CarrierError(TelephonyError):
    """Twilio's REST API did not do what it was asked.

    ``code`` is Twilio's own (0 where it gave none), ``status`` the HTTP status (0 without answer).
    The text holds neither phone numbers nor tokens, so that it may be logged.
    """

    def __init__(self, message: str, *, code: int = 0, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class CarrierRejected(CarrierError):
    """A parameter is missing or wrong: a mistake of ours, the same again fails again."""


class SettingsRefused(CarrierError):
    """Credentials, account, own number or permissions: nobody can be dialled until it is mended."""

    verdict = Verdict.MEND_SETTINGS


class NumberRefused(CarrierError):
    """The number dialled is invalid, unreachable for good, or on Twilio's block list."""

    verdict = Verdict.NEVER_DIAL


class CallAlreadyOver(CarrierError):
    """The call is not in progress (any more), or not known."""


class CarrierBusy(CarrierError):
    """Too many requests, calls at once, or queued calls: not processed, try again later."""

    verdict = Verdict.RETRY


class CarrierUnreachable(CarrierError):
    """No connection could be made, so nothing was asked."""

    verdict = Verdict.RETRY


class OutcomeUnknown(CarrierError):
    """A time-out or a server error after the request was sent: it may have been carried out.

    There is no idempotency key on ``Calls.json``.
    """

    verdict = Verdict.RECONCILE


# Twilio's error dictionary, twilio.com/docs/api/errors/<code>.
_BY_CODE: dict[int, type[CarrierError]] = {
    10001: SettingsRefused,  # account not active
    10004: CarrierBusy,  # call concurrency exceeded
    13227: SettingsRefused,  # geo permission off, in TwiML
    20001: CarrierRejected,  # unknown parameter
    20003: SettingsRefused,  # bad credentials or permission
    20005: SettingsRefused,  # account not active
    20404: CallAlreadyOver,  # not found; ended calls answer so too
    20422: CarrierRejected,  # invalid parameter
    20429: CarrierBusy,  # too many concurrent REST requests; never processed
    20500: OutcomeUnknown,
    20503: OutcomeUnknown,
    21201: CarrierRejected,  # To missing
    21205: CarrierRejected,  # bad URL
    21210: SettingsRefused,  # From not verified
    21211: NumberRefused,  # To invalid, also To == From
    21212: SettingsRefused,  # From invalid
    21213: CarrierRejected,  # From missing
    21214: NumberRefused,  # To unreachable
    21215: SettingsRefused,  # geo permission off
    21216: NumberRefused,  # Twilio block list
    21217: NumberRefused,  # To invalid
    21219: SettingsRefused,  # trial account: To not verified
    21220: CallAlreadyOver,  # invalid call state
    21626: CarrierRejected,  # invalid status callback event
    22005: CarrierBusy,  # more than 24 h of calls queued
}


def carrier_error(code: int, status: int) -> type[CarrierError]:
    """The class for one of Twilio's error codes, else for the HTTP status.

    Source: the error dictionary; where a code is not in the table the status decides, and a
    server error on a request that was sent is always ``OutcomeUnknown``.
    """
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if status == 429:
        return CarrierBusy
    if status >= 500:
        return OutcomeUnknown
    if status in (401, 403):
        return SettingsRefused
    if status == 404:
        return CallAlreadyOver
    return CarrierRejected
