"""A campaign's agent discloses first, whatever its file says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.conversation.prompt import open_call
from agent.spec import AgentSpec, Greeting, load_agent
from workers.call.brief import campaign_spec, same_agent
from workers.campaign.brief import Brief

SPEC = AgentSpec("baker", "You are a baker.", greeting=Greeting("Hello {{ name }}!", cached=False))
BRIEF = Brief(1, "june", 7, SPEC, {"name": "Anna"}, disclosure="This is a machine.")


def test_disclosure_is_the_first_thing_that_is_said() -> None:
    """Before the greeting, and in the instruction, should it be cut off."""
    opening = open_call(campaign_spec(BRIEF), variables=BRIEF.variables)
    assert opening.greeting == "This is a machine. Hello Anna!"
    assert "“This is a machine.”" in opening.system_instruction


def test_agent_that_waits_discloses_all_the_same() -> None:
    """Then that is its greeting."""
    waits = replace(BRIEF, spec=replace(SPEC, greeting=Greeting()))
    assert campaign_spec(waits).greeting.text == "This is a machine."


def test_kept_greeting_is_kept_unless_it_differs_between_contacts() -> None:
    """A placeholder in the disclosure makes it another one for each."""
    cached = replace(BRIEF, spec=replace(SPEC, greeting=Greeting("Hello!", cached=True)))
    assert campaign_spec(cached).greeting.cached
    assert not campaign_spec(replace(cached, disclosure="For {{ name }}.")).greeting.cached


def test_opting_out_and_hanging_up_are_always_possible() -> None:
    """Also where the agent's file names neither; what it names stays in its place."""
    assert campaign_spec(BRIEF).tools == ("opt_out", "end_call")
    named = replace(BRIEF, spec=replace(SPEC, tools=("end_call", "remember")))
    assert campaign_spec(named).tools == ("end_call", "remember", "opt_out")


def test_key_is_explained_to_the_model() -> None:
    """It hears of keys as text, and must know what this one means."""
    assert "presses 9" in campaign_spec(replace(BRIEF, opt_out_key="9")).system_instruction
    assert "presses" not in campaign_spec(BRIEF).system_instruction


def test_what_lies_beside_the_file_is_still_found(tmp_path: Path) -> None:
    """Tools and sounds are looked for in the agent's folder."""
    file = tmp_path / "baker.yaml"
    file.write_text("name: baker\nsystem_instruction: You are a baker.\n")
    assert campaign_spec(replace(BRIEF, spec=load_agent(file))).folder == tmp_path


def test_contacts_share_an_agent_and_campaigns_do_not() -> None:
    """What differs between contacts is filled in later."""
    other = replace(BRIEF, attempt_id=2, contact_id=8, variables={"name": "Ben"})
    assert same_agent(BRIEF, other)
    assert same_agent(BRIEF, replace(BRIEF, spec=replace(SPEC)))
    assert not same_agent(BRIEF, replace(BRIEF, disclosure="Another."))
    assert not same_agent(BRIEF, replace(BRIEF, spec=replace(SPEC, voice="Puck")))
