"""A campaign's file together with its agent's, before anybody is called with the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentSpecError
from agent.spec import PLACEHOLDER, AgentSpec, load_agent
from agent.yaml_source import FieldPath, read_yaml
from workers.call.agents import check_agent
from workers.campaign.campaign_file import load_campaign
from workers.campaign.model import Campaign

_NAME = "name"
"""What a contact's own name is called in the agent's texts."""


def load_usable(file: Path) -> Campaign:
    """Read a campaign's file; its agent's must be good, and get a value for all that it names.

    Else everybody would be called to hear an apology, or "Hello , your  is ready".

    Raises:
        AgentSpecError: every problem of the campaign's file, else of the agent's, else between
            the two.
    """
    campaign = load_campaign(file)
    spec = load_agent(campaign.agent)
    check_agent(spec)
    source = read_yaml(file)
    if issues := [source.issue(at, text) for at, text in _unfilled(campaign, spec)]:
        raise AgentSpecError(issues)
    return campaign


def _unfilled(campaign: Campaign, spec: AgentSpec) -> Iterator[tuple[FieldPath, str]]:
    columns = campaign.source.columns
    known = {*columns.variables, *([_NAME] if columns.name else [])}
    texts: dict[FieldPath, str] = {
        ("agent",): f"{spec.system_instruction} {spec.greeting.text or ''}",
        ("disclosure",): campaign.disclosure,
        ("voicemail", "message"): campaign.voicemail_message,
    }
    for at, text in texts.items():
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            if name not in known:
                where = "columns.name" if name == _NAME else f"columns.variables.{name}"
                yield at, f"asks for {{{{ {name} }}}}, and contacts.{where} names no column"
