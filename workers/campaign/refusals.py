"""What Twilio answered to a request to dial that failed: who waits, who is left out, what to mend.

The tables are Twilio's error codes, and the sentences that the operator reads of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from telephony.errors import CarrierError, Verdict
from workers.campaign.model import LineOutcome


@dataclass(frozen=True, slots=True)
class NeverDial:
    """This number is not dialled again; the campaign goes on."""

    reason: str
    outcome: ClassVar[LineOutcome] = LineOutcome.BAD_NUMBER


@dataclass(frozen=True, slots=True)
class Later:
    """Not processed: the contact waits, as ``outcomes.after`` with ``NOT_PLACED`` says.

    The campaign goes on.
    """

    reason: str
    outcome: ClassVar[LineOutcome] = LineOutcome.NOT_PLACED


@dataclass(frozen=True, slots=True)
class PauseCampaign:
    """Nobody can be called until somebody does what ``fix`` says; this contact waits as well."""

    fix: str
    outcome: ClassVar[LineOutcome] = LineOutcome.NOT_PLACED


@dataclass(frozen=True, slots=True)
class Reconcile:
    """There may be a call: look for it at Twilio before anything else."""

    reason: str


Refusal = NeverDial | Later | PauseCampaign | Reconcile

_PERMISSIONS = (
    "Twilio may not call this country from this account: allow it under Voice, Geographic "
    "permissions, in Twilio's console, then resume."
)
_INACTIVE = (
    "The Twilio account is not active: see its billing and notices in Twilio's console, then "
    "resume."
)
_OUR_REQUEST = (
    "Twilio takes no request of this form, whoever is called: look at its message in the log, "
    "correct the setting it names, then resume."
)
_FIXES: Mapping[int, str] = MappingProxyType(
    {
        10001: _INACTIVE,
        13227: _PERMISSIONS,
        20001: _OUR_REQUEST,
        20003: "Twilio refuses the credentials: correct TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, "
        "restart the workers, then resume.",
        20005: _INACTIVE,
        20404: "Twilio does not know the account: correct TWILIO_ACCOUNT_SID, restart the "
        "workers, then resume.",
        20422: _OUR_REQUEST,
        21201: _OUR_REQUEST,
        21205: "Twilio refuses the address it is to ask: correct EVERCALL_PUBLIC_URL, restart the "
        "workers, then resume.",
        21210: "The caller's number is not verified for this account: verify it under Verified "
        "caller IDs in Twilio's console, or name another under callers, then resume.",
        21212: "The caller's number is not valid: name one that this account owns or has "
        "verified under callers in the campaign's file, then resume.",
        21213: _OUR_REQUEST,
        21215: _PERMISSIONS,
        21219: "A trial account calls verified numbers only: upgrade the account, then resume.",
        21626: _OUR_REQUEST,
        # Twilio takes calls faster than it places them, and tells so only when a day's worth is
        # waiting. Nothing mends that but waiting, and whatever is added would ring at any hour.
        22005: "More than 24 hours of calls are queued at Twilio: set calls per second no higher "
        "than the account's, wait until they are placed or cancel them, then resume.",
    }
)
_WAITS: Mapping[int, str] = MappingProxyType(
    {
        10004: "Twilio has no room for another call at once; if this goes on, lower the "
        "campaign's calls at once.",
        20429: "Twilio has too many requests from this account at once, and has not looked at "
        "this one.",
    }
)
_NUMBERS: Mapping[int, str] = MappingProxyType(
    {
        21211: "Twilio says that the number is not valid.",
        21214: "Twilio says that the number cannot be reached.",
        # Its page names this cause too; the brake counts these as failures, so it will be seen.
        21216: "Twilio blocks calls to the number; to numbers in +1 also where the account has "
        "no primary customer profile.",
        21217: "Twilio says that the number is not valid.",
    }
)


def refused(error: CarrierError) -> Refusal:
    """What to do when the request to dial has failed.

    Known codes first, then the error's verdict. What neither tells is not taken for a no: the
    call is looked for, and dialled again only when there is none.

    Source: error dictionary, twilio.com/docs/api/errors/<code>.
    """
    code = error.code
    if code in _NUMBERS:
        return NeverDial(_NUMBERS[code])
    if code in _WAITS:
        return Later(_WAITS[code])
    if code in _FIXES:
        return PauseCampaign(_FIXES[code])
    told = f"error {code}" if code else f"HTTP {error.status}" if error.status else "no answer"
    match error.verdict:
        case Verdict.NEVER_DIAL:
            return NeverDial(f"Twilio does not call this number ({told}).")
        case Verdict.RETRY:
            return Later(f"Twilio has not taken the request ({told}).")
        case Verdict.MEND_SETTINGS:
            return PauseCampaign(
                f"Twilio refuses to call for this account ({told}): check its credentials, its "
                "state and its permissions, then resume."
            )
        case Verdict.RECONCILE | Verdict.END:
            return Reconcile(f"Whether Twilio has placed the call is not known ({told}).")
