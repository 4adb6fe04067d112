"""The agents that a worker can serve calls with: its own, and those of campaigns.

An agent is loaded and checked as at a worker's start, in a thread, because that reads files and
runs the operator's modules. Those of campaigns are kept, a few of them, for the next call. A tool's
module is imported once in a process: a change of its code is seen by new workers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import structlog

from agent.context.text_model import TextModel
from agent.conversation.redaction import Redactor
from agent.errors import AgentSpecError
from agent.live.config import window_issues
from agent.live.filler import filler_issues, load_filler
from agent.spec import AgentSpec
from agent.tools.declarations import import_reference, importable_issues, load_tools
from workers.call.brief import campaign_spec, same_agent
from workers.call.entry import CallEntry
from workers.call.loaded_agent import LoadedAgent, Makers
from workers.campaign.brief import Brief

if TYPE_CHECKING:
    from pipecat.processors.frame_processor import FrameProcessor

KEPT: Final = 32
"""Agents of campaigns that are kept; the one that was not used for longest goes first."""

_log = structlog.get_logger(__name__)


def check_agent(spec: AgentSpec) -> None:
    """Check what ``load_agent`` cannot see.

    Raises:
        AgentSpecError: a tool, processor or sound of the agent cannot be used.
    """
    if issues := [*importable_issues(spec), *filler_issues(spec), *window_issues(spec)]:
        raise AgentSpecError(issues)


def loaded_agent(spec: AgentSpec, *, text_model: TextModel | None = None) -> LoadedAgent:
    """Load an agent's tools, processors and sounds.

    Raises:
        AgentSpecError: one of them cannot be used.
    """
    check_agent(spec)

    def makers(names: tuple[str, ...]) -> Makers:
        return tuple(
            cast(Callable[[], "FrameProcessor"], import_reference(name, spec)) for name in names
        )

    return LoadedAgent(
        spec=spec,
        tools=load_tools(spec),
        filler=load_filler(spec),
        caller_processors=makers(spec.processors.caller),
        agent_processors=makers(spec.processors.agent),
        redactor=Redactor(spec.redaction),
        text_model=text_model,
    )


class Agents:
    """A worker's own agent, and the campaigns' that it has served.

    Args:
        own: Serves every call that is no campaign's.
        text_model: Makes what keeps the summaries of an agent's calls; None keeps sentences.
        prepare: Told of each agent that was loaded, in the thread that has loaded it.
    """

    def __init__(
        self,
        own: LoadedAgent,
        *,
        text_model: Callable[[AgentSpec], TextModel | None] = lambda _spec: None,
        prepare: Callable[[AgentSpec], object] = lambda _spec: None,
    ) -> None:
        self.own = own
        self._text_model = text_model
        self._prepare = prepare
        # Bound: ``KEPT``, by a number of their own; a handful of campaigns run at once.
        self._kept: OrderedDict[int, tuple[Brief, LoadedAgent]] = OrderedDict()
        self._count = 0
        self._loading = asyncio.Lock()

    def of(self, entry: CallEntry) -> LoadedAgent:
        """The agent of a call."""
        return entry.agent or self.own

    async def for_brief(self, brief: Brief) -> LoadedAgent:
        """The agent of a campaign's call, loaded if it is not yet.

        Raises:
            AgentSpecError: it cannot be used.
        """
        found = self._find(brief)
        if found is not None:
            return found
        async with self._loading:
            found = self._find(brief)
            if found is not None:
                return found
            spec = campaign_spec(brief)
            model = self._text_model(spec)
            agent = await asyncio.to_thread(self._load, spec, model)
            _log.info("campaign.agent_loaded", agent=spec.name, campaign=brief.campaign)
            self._count += 1
            self._kept[self._count] = brief, agent
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return agent

    def _load(self, spec: AgentSpec, model: TextModel | None) -> LoadedAgent:
        agent = loaded_agent(spec, text_model=model)
        self._prepare(spec)
        return agent

    def _find(self, brief: Brief) -> LoadedAgent | None:
        for number, (other, agent) in self._kept.items():
            if same_agent(brief, other):
                self._kept.move_to_end(number)
                return agent
        return None
