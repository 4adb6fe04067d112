"""Agents of campaigns are loaded once, checked as at a start, and forgotten in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.errors import AgentSpecError
from agent.spec import AgentSpec, Recording
from telephony.calls.twiml import Spoken
from workers.call import agents as module
from workers.call.agents import Agents, loaded_agent
from workers.call.entry import CallEntry
from workers.campaign.brief import Brief

OWN = AgentSpec("own", "You are a baker.", apology="Sorry.", language="en-US")
BRIEF = Brief(1, "june", 7, AgentSpec("campaigner", "You call people."))


async def test_call_without_a_campaign_has_the_workers_own() -> None:
    """A brief is what changes that."""
    agents = Agents(loaded_agent(OWN))
    entry = CallEntry("CA1", "AC1", "inbound", "", "")
    assert agents.of(entry) is agents.own
    entry.agent = await agents.for_brief(BRIEF)
    assert agents.of(entry).spec.name == "campaigner"


async def test_agent_is_loaded_once_for_all_contacts() -> None:
    """Also where they are asked for at once."""
    prepared: list[AgentSpec] = []
    agents = Agents(loaded_agent(OWN), prepare=prepared.append)
    others = [replace(BRIEF, contact_id=number) for number in range(5)]
    found = await asyncio.gather(*map(agents.for_brief, others))
    assert len(set(map(id, found))) == len(prepared) == 1


async def test_agent_that_cannot_be_used_says_why_and_is_tried_again() -> None:
    """Its file may be mended meanwhile."""
    agents = Agents(loaded_agent(OWN))
    broken = replace(BRIEF, spec=replace(BRIEF.spec, tools=("no.such.module:tool",)))
    for _ in range(2):
        with pytest.raises(AgentSpecError, match=r"no\.such\.module"):
            await agents.for_brief(broken)


async def test_oldest_agent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for longest, and it can be loaded again."""
    monkeypatch.setattr(module, "KEPT", 2)
    agents = Agents(loaded_agent(OWN))
    one, two, three = (replace(BRIEF, disclosure=f"Number {n}.") for n in range(3))
    first, second = await agents.for_brief(one), await agents.for_brief(two)
    assert await agents.for_brief(one) is first
    await agents.for_brief(three)
    assert await agents.for_brief(one) is first
    assert await agents.for_brief(two) is not second


def test_what_the_carrier_says_is_in_the_agents_voice() -> None:
    """The announcement only where the call is recorded."""
    spec = replace(OWN, apology_voice="Polly.Amy", recording=Recording(True, "Recorded."))
    agent = loaded_agent(spec)
    assert agent.apology == Spoken("Sorry.", "en-US", "Polly.Amy")
    assert agent.announcement == Spoken("Recorded.", "en-US", "Polly.Amy")
    assert loaded_agent(replace(OWN, recording=Recording(False, "Rec."))).announcement is None
