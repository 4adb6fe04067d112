"""A campaign's file together with its agent's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.entrypoints.campaign.conftest import CAMPAIGN, Evercall


@pytest.mark.parametrize("command", ["check", "import"])
def test_agent_that_cannot_be_used_is_refused(
    evercall: Evercall, folder: Path, command: str
) -> None:
    """By its own file and line: else everybody would be called to hear an apology."""
    (folder / "agent.yaml").write_text("name: agent\nsystem_instruction: Hi.\nvoise: Kore\n")
    done = evercall("campaign", command, "campaign.yaml")
    assert done.exit_code == 1
    assert "agent.yaml:3: voise: unknown field" in done.stderr
    assert not (folder / "data").exists() or command == "import"


@pytest.mark.parametrize("command", ["check", "import"])
def test_every_name_in_a_text_has_a_column(evercall: Evercall, folder: Path, command: str) -> None:
    """In the agent's texts, the disclosure and the message for a machine."""
    (folder / "agent.yaml").write_text(
        "name: agent\nsystem_instruction: Call {{ name }} about {{ order }}.\n"
        "greeting: {text: 'Hello {{ name }}, your {{order}}.'}\n"
    )
    more = (
        "disclosure: For {{ firm }}.\n"
        "voicemail: {policy: leave_message, message: 'Your {{ day }} awaits.'}\n"
    )
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("name: who, ", "") + more)
    done = evercall("campaign", command, "campaign.yaml")
    assert done.exit_code == 1
    assert "campaign.yaml:2: agent: asks for {{ order }}, and contacts.columns" in done.stderr
    assert "agent: asks for {{ name }}, and contacts.columns.name names no col" in done.stderr
    assert "disclosure: asks for {{ firm }}" in done.stderr
    assert "voicemail.message: asks for {{ day }}" in done.stderr
    assert "4 problems" in done.stderr
