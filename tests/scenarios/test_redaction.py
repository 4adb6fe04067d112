"""A card number and an address said, typed, looked up and failed on are nowhere afterwards."""

from __future__ import annotations

import re
from pathlib import Path

from agent.conversation.record import CallRecord
from agent.conversation.removal import CARD, EMAIL, KEY
from agent.spec import Redaction
from tests.scenarios.rig import (
    GREETING,
    QUESTION,
    Rig,
    agent_turns,
    bakery,
    caller_turns,
    evercall,
    held,
    until,
)
from workers.dashboard.call_page.page import render_page
from workers.dashboard.export import record_json, record_text
from workers.dashboard.transcript_text import transcript_text
from workers.twin.caller import (
    DropSocket,
    HangUp,
    Press,
    Say,
    WaitAgentDone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn

# Of no bank; its groups are in no other number of a call.
NUMBER = "4539578763621486"
GROUPED = "4539 5787 6362 1486"
ADDRESS = "anna.smith@example.com"
# Any two neighbouring groups, however they are written, or the address.
PRIVATE = re.compile(rb"4539\W{0,4}5787|5787\W{0,4}6362|6362\W{0,4}1486|anna|example")
LISTEN_ANEW = Say(bytes(320))

TALK = LiveScript(
    opening=(script.Say(GREETING),),
    turns=(
        Turn(f"My card is {GROUPED}, I am {ADDRESS}", (script.Say(f"{GROUPED}?"),)),
        Turn("Yes. Again: 4539 5787", (script.Say("And?"),)),
        Turn("6362 1486.", (CallTool("charge", {"card": int(NUMBER), "mail": ADDRESS}),)),
    ),
    # A first connection comes with the greeting, one that follows with the nudge.
    texts=(
        TextRule(
            r"pressed (\d+)",
            (CallTool("decline", {"card": "{1}"}, on_error=(script.Say("Declined."),)),),
        ),
        TextRule("The line was cut", (script.Say("I am back."),)),
    ),
    answer_delay_s=0.1,
)


async def charge(card: str, mail: str) -> dict[str, object]:
    """Charge a card."""
    return {"charged": card, "receipt": f"sent to {mail}", GROUPED: [int(card)]}


async def decline(card: str) -> str:
    """Fail, and say with what."""
    raise ValueError(f"card {card} ({GROUPED}) of {ADDRESS} was declined")


def everything_in(folder: Path) -> bytes:
    """The bytes of every file, the database's journal among them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"evercall.sqlite3", "evercall.sqlite3-wal"} <= {path.name for path in files}
    return b"\n".join(path.read_bytes() for path in files)


MORE = "And another thing."


async def make_call(rig: Rig) -> CallRecord:
    """A call of two streams: number and address are said, repeated, split, charged and typed."""
    _, record = await rig.call(
        WaitAgentDone(300),
        Say(QUESTION),
        WaitAgentDone(300),
        Say(QUESTION),
        WaitAgentDone(300),
        Say(QUESTION),
        WaitAgentDone(300),
        Press(NUMBER),
        WaitAgentDone(500),
        DropSocket(),
        WaitStream(),
        WaitSeconds(0.5),
        Say(QUESTION),
        LISTEN_ANEW,
        WaitAgentDone(300),
        HangUp(),
    )
    return record


async def test_nothing_that_is_stored_or_logged_holds_them(tmp_path: Path) -> None:
    """Neither database, its journal, log, export, transcript nor page; the model knew them all."""
    tools = ("tests.scenarios.test_redaction:charge", "tests.scenarios.test_redaction:decline")
    spec = bakery(tools=tools, redaction=Redaction(emails=True))
    async with evercall(tmp_path, TALK, agent=spec) as rig:
        record = await make_call(rig)
        stored = everything_in(tmp_path)
        events = await rig.worker.store.load_events(record.call_sid)
        await until(lambda: len(rig.logged("stream.ended")) == 2)
        first, second = rig.live.sessions
    log = rig.log_text
    # It happened: the model was told, and so was the one that took over.
    assert NUMBER in str(first.tool_responses)
    assert ADDRESS in str(first.tool_responses)
    assert any(NUMBER in text for text in first.texts)
    assert GROUPED in held(second)
    assert ADDRESS in held(second)
    assert rig.logged("tool.failed")
    # And it is told that it happened.
    said = [turn.said for turn in caller_turns(record)]
    assert said == [f"My card is {CARD}, I am {EMAIL}", f"Yes. Again: {CARD}", f"{CARD}.", MORE]
    assert agent_turns(record)[1].heard == f"{CARD}?"
    assert [tool.args for tool in record.tools] == [{"card": CARD, "mail": EMAIL}, {"card": CARD}]
    assert "".join(key.digit for key in record.digits) == KEY * 16
    assert f"of {EMAIL} was declined" in str(record.tools[1].response)
    pages = [record_json(record), record_text(record).encode(), transcript_text(record).encode()]
    pages.append(render_page(record).encode())
    for content in (stored, log.encode(), repr(events).encode(), *pages):
        assert not PRIVATE.search(content)
    assert CARD.encode() in stored


async def test_address_is_kept_where_the_agent_does_not_ask(tmp_path: Path) -> None:
    """Card numbers go always, addresses only where the agent's file says so; never into a log."""
    model = LiveScript(
        opening=(script.Say(GREETING),),
        turns=(Turn(f"I am {ADDRESS}, {NUMBER}", (CallTool("decline", {"card": "1"}),)),),
        answer_delay_s=0.1,
    )
    spec = bakery(tools=("tests.scenarios.test_redaction:decline",))
    async with evercall(tmp_path, model, agent=spec) as rig:
        _, record = await rig.call(WaitAgentDone(300), Say(QUESTION), WaitAgentDone(500), HangUp())
        await rig.until_logged("tool.failed")
    assert caller_turns(record)[0].said == f"I am {ADDRESS}, {CARD}"
    assert not PRIVATE.search(rig.log_text.encode())
