"""Twilio's codes become classes with a verdict."""

from __future__ import annotations

import pytest

from telephony.errors import Verdict, carrier_error


@pytest.mark.parametrize(
    ("code", "status", "verdict"),
    [
        (20003, 401, Verdict.MEND_SETTINGS),
        (20429, 429, Verdict.RETRY),
        (10004, 400, Verdict.RETRY),
        (20500, 500, Verdict.RECONCILE),
        (21211, 400, Verdict.NEVER_DIAL),
        (21216, 400, Verdict.NEVER_DIAL),
        (21210, 400, Verdict.MEND_SETTINGS),
        (21220, 400, Verdict.END),
        (21626, 400, Verdict.END),
        # Not in the table: the HTTP status decides.
        (0, 503, Verdict.RECONCILE),
        (99999, 500, Verdict.RECONCILE),
        (0, 429, Verdict.RETRY),
        (0, 401, Verdict.MEND_SETTINGS),
        (99999, 400, Verdict.END),
    ],
)
def test_code_decides_the_verdict(code: int, status: int, verdict: Verdict) -> None:
    """A server error is never a plain failure: the call may have been placed."""
    assert carrier_error(code, status).verdict is verdict
