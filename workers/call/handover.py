"""What a person who takes a call over hears about it before they are connected."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from agent.context.briefing import NOTHING_KNOWN, briefing
from agent.conversation.record import CallRecord
from agent.conversation.redaction import Redactor
from agent.spec import AgentSpec

AGENT_FAILED: Final = "the automatic agent has a technical problem"

# What a summary does not cover is a few turns; without one the newest have to do, because all of an
# hour's would hold up the other calls of this worker (0.3 ms a turn).
_MIN_TURNS = 4
_MAX_TURNS = 40

_log = structlog.get_logger(__name__)


def handover(record: CallRecord, spec: AgentSpec, *, last_resort: bool) -> str | None:
    """One spoken paragraph; None where there is nothing to say, or the agent's file wants none.

    What must not be stored is left out: Twilio shows in its console what it was told to say.

    Args:
        record: The call, up to now.
        spec: The agent.
        last_resort: The agent cannot go on, rather than that the caller is in better hands.
    """
    if not spec.context.briefing:
        return None
    covered = 0 if record.summary is None else record.summary.turns
    newest = max(min(covered, len(record.turns) - _MIN_TURNS), len(record.turns) - _MAX_TURNS, 0)
    try:
        told = Redactor(spec.redaction).redact_record(
            replace(record, turns=record.turns[newest:], tools=[], moves=[], digits=[])
        )
        reason = AGENT_FAILED if last_resort else ""
        text = briefing(told.summary, told.facts, told.turns, reason=reason)
    except Exception:  # noqa: BLE001  the caller is connected to somebody, briefed or not
        _log.exception("call.no_briefing")
        return None
    return None if text == NOTHING_KNOWN else text
