"""What one call of a campaign has to know.

A call that a campaign has placed, or that one of its contacts makes to one of its numbers, is
served by the campaign's agent, told about this contact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.spec import AgentSpec
from workers.campaign.model import OutcomeField, VoicemailPolicy


class BriefUnusable(Exception):
    """A campaign's agent cannot be used; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What one call of a campaign has to know."""

    attempt_id: int | None
    """None: the contact has called us."""
    campaign: str
    contact_id: int
    spec: AgentSpec
    """As its file says; ``workers.call.brief.campaign_spec`` makes of it what the call is
    served with."""
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For the prompt: the contact's, and ``name``."""
    disclosure: str = ""
    """What the agent says first, word for word."""
    outcome: Mapping[str, OutcomeField] = field(default_factory=lambda: MappingProxyType({}))
    """What the agent is to report."""
    opt_out_key: str = ""
    voicemail: VoicemailPolicy = VoicemailPolicy.HANG_UP
    voicemail_message: str = ""
