"""What happens to each contact of the demo's campaign, and what must have come of it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from workers.campaign.model import ContactState, LineOutcome
from workers.campaign.numbers import parse_number
from workers.entrypoints.demo_campaign_files import FOLDER
from workers.twin import caller
from workers.twin.caller import CallerScript, HangUp, Press, StaySilent, WaitAgentDone, WaitSeconds
from workers.twin.live_api.script import CallTool, LiveScript, Say, TextRule, Turn
from workers.twin.twilio_api.callee import CalleeBehaviour, Voicemail
from workers.twin.twilio_api.rest_faults import RestFault, kind_of

LOST_ORDER = 6
"""The answer to this order of a call is lost, and the call is made all the same."""
RECORDED = "+12125550101"
"""Whose call is kept as a file; their lines are recorded speech."""
_VERDICT_S = 0.8

# -- what is met at a number ---------------------------------------------------------------------


def _person(*steps: caller.Step) -> CalleeBehaviour:
    return CalleeBehaviour(after_s=1.5, script=CallerScript.of(*steps), verdict_after_s=_VERDICT_S)


def _says(line: str) -> CalleeBehaviour:
    # Not in the first pause: the agent has several sentences to say.
    return _person(WaitAgentDone(900), caller.Say(line), StaySilent())


_COMES = _says("caller_orders_yes")
_DECLINES = _says("caller_orders_no")
_ASKS_NOT_TO = _says("caller_orders_stop")
_PRESSES = _person(WaitAgentDone(900), Press("9"), StaySilent())
_HANGS_UP = _person(WaitSeconds(3.0), HangUp())
_MACHINE = CalleeBehaviour.machine(
    Voicemail((caller.Say("Please leave a message."),), record_s=15.0), after_s=2.5
)
_BUSY = CalleeBehaviour("busy", after_s=1.0)
# The network gives up before our own time is over.
_NOBODY = CalleeBehaviour("no-answer", after_s=4.0)
_NO_NETWORK = CalleeBehaviour("failed", after_s=1.0, sip_code=503)
_NO_SUCH = CalleeBehaviour("failed", after_s=1.0, sip_code=404)
_INVALID = CalleeBehaviour(refusal=21211)

# -- what the model makes of it ------------------------------------------------------------------


def _hears(line: str, tool: CallTool, answer: str) -> LiveScript:
    return LiveScript(turns=(Turn(line, (tool, CallTool("end_call"), Say(answer))),))


_NOTES_YES = _hears(
    "caller_orders_yes",
    CallTool("report_outcome", {"coming": True, "note": "at ten"}),
    "agent_orders_yes",
)
_NOTES_NO = _hears(
    "caller_orders_no", CallTool("report_outcome", {"coming": False}), "agent_orders_no"
)
_NOTES_STOP = _hears("caller_orders_stop", CallTool("opt_out"), "agent_orders_stop")
# It says what it is asked to say (agent.conversation.prompt.ask_for_greeting).
_GREETS = TextRule("(?s)wait for an answer: (.+)", (Say("{1}"),))
_HEARS_KEY = LiveScript(
    texts=(TextRule("pressed 9 on", (CallTool("end_call"), Say("agent_orders_stop"))),)
)

# -- contact by contact --------------------------------------------------------------------------

_DONE, _NEVER, _EXHAUSTED = ContactState.DONE, ContactState.NEVER, ContactState.EXHAUSTED


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one contact."""

    calls: tuple[CalleeBehaviour, ...]
    """What happens at each call; none: they are not called."""
    state: ContactState
    outcome: LineOutcome | None
    """Of the last call."""
    model: LiveScript | None = None
    coming: bool | None = None
    """What the agent has to report; None: nothing."""


def _comes(*before: CalleeBehaviour) -> Fate:
    return Fate((*before, _COMES), _DONE, LineOutcome.HUMAN, _NOTES_YES, coming=True)


def _declines() -> Fate:
    return Fate((_DECLINES,), _DONE, LineOutcome.HUMAN, _NOTES_NO, coming=False)


def _message() -> Fate:
    return Fate((_MACHINE,), _DONE, LineOutcome.MESSAGE_LEFT)


FATES: Mapping[str, Fate] = MappingProxyType(
    {
        RECORDED: _comes(),
        "+12125550102": _message(),
        "+12125550103": _comes(_BUSY),
        "+12125550104": Fate((_INVALID,), _NEVER, LineOutcome.BAD_NUMBER),
        "+12125550105": Fate((_NOBODY, _NOBODY), _EXHAUSTED, LineOutcome.NO_ANSWER),
        "+12125550106": _comes(_NOBODY),
        "+12125550107": _comes(),
        "+12125550108": _message(),
        "+12125550109": _declines(),
        "+12125550110": _comes(_NO_NETWORK),
        "+12125550111": Fate((_ASKS_NOT_TO,), _NEVER, LineOutcome.OPTED_OUT, _NOTES_STOP),
        "+12125550112": _message(),
        "+12125550113": _comes(_BUSY),
        "+12125550114": Fate((_NO_SUCH,), _NEVER, LineOutcome.BAD_NUMBER),
        "+12125550115": _comes(),
        "+12125550116": Fate((_PRESSES,), _NEVER, LineOutcome.OPTED_OUT, _HEARS_KEY),
        "+12125550117": _message(),
        "+12125550118": _declines(),
        "+12125550119": _comes(),
        "+12125550120": Fate((_HANGS_UP,), _DONE, LineOutcome.HUMAN),
        "+12125550121": _comes(),
        # Where it is night, and on the suppression list.
        "+12125550122": Fate((), _EXHAUSTED, None),
        "+12125550123": Fate((), _NEVER, None),
    }
)


@dataclass(slots=True)
class Numbers:
    """Use ``dial`` as a twin's ``on_dial`` and ``rest`` as its ``on_rest``."""

    dialled: Counter[str] = field(default_factory=Counter)
    orders: int = 0

    def dial(self, to: str) -> CalleeBehaviour:
        """Say what happens at this number now."""
        calls = FATES[to].calls
        nth = self.dialled[to]
        self.dialled[to] += 1
        # A call too many is the verdict's to find.
        return calls[nth] if nth < len(calls) else _NOBODY

    def rest(self, method: str, path: str) -> RestFault | None:
        """Lose one answer."""
        if kind_of(method, path) != "create":
            return None
        self.orders += 1
        lost = self.orders == LOST_ORDER
        return RestFault(broken_off=True, carried_out=True) if lost else None


def model(_number: int, setup: Mapping[str, Any]) -> LiveScript:
    """What the model hears and says in a session, by whom its instruction names."""
    instruction = json.dumps(setup, ensure_ascii=False)
    for number, name in names().items():
        if f"call {name} for" in instruction:
            hears = FATES[number].model or LiveScript()
            return replace(hears, texts=(*hears.texts, _GREETS))
    return LiveScript(texts=(_GREETS,))


@cache
def names() -> Mapping[str, str]:
    """Who has which number, as the list has it."""
    with (FOLDER / "people.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, str] = {}
    for row in rows:
        try:
            found[parse_number(row["Phone"], "US")] = row["Name"]
        except ValueError:
            continue
    return MappingProxyType({number: name for number, name in found.items() if number in FATES})
