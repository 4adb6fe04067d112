"""The agent's error tree: whose fault it is comes first, then what to do about it.

``LocalError`` is mended by the operator (a file, a key, a function), ``RemoteError`` is the Live
API's or the network's. Callers read ``verdict`` rather than test a chain of types; the lifecycle
may overrule it with what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Verdict(StrEnum):
    """What to do about an error, unless somebody knows better."""

    RETRY = "retry"
    """Dial again, the same way."""
    RESUME = "resume"
    """Dial again with the newest handle."""
    REFILL = "refill"
    """Dial a fresh session and tell it what was said."""
    END = "end"
    """Apologise and end the call; another try meets the same."""


class AgentError(Exception):
    """Base of everything this package raises on purpose."""

    verdict: ClassVar[Verdict] = Verdict.END


class LocalError(AgentError):
    """Our side is wrong: a setting, an agent file, a tool."""


class RemoteError(AgentError):
    """The Live API or the way to it is wrong."""

    verdict = Verdict.RETRY


@dataclass(frozen=True, slots=True)
class SpecIssue:
    """One thing that is wrong in an agent's file."""

    file: str
    line: int | None
    """Counted from 1; None where the whole file is meant."""
    field: str
    """Such as ``limits.idle_s`` or ``tools[1]``; empty where the whole file is meant."""
    message: str

    def __str__(self) -> str:
        """``file:line: field: message``, as editors and compilers write it."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class AgentSpecError(LocalError):
    """An agent's file cannot be used; ``issues`` holds every problem, in file order."""

    def __init__(self, issues: Sequence[SpecIssue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(str(issue) for issue in self.issues))


class ToolDeclarationError(LocalError):
    """A tool named in the spec cannot be offered to the model."""

    def __init__(self, tool: str, message: str, *, parameter: str | None = None) -> None:
        self.tool = tool
        self.parameter = parameter
        place = tool if parameter is None else f"{tool}, parameter {parameter!r}"
        super().__init__(f"{place}: {message}")


class LiveError(AgentError):
    """Something went wrong with a Live API connection."""

    code = 1006
    """WebSocket close code, or HTTP status of the upgrade; 1006 where there was none."""
    reason = ""
    """What the server said."""
    setup_sent = False
    """The server may have seen the setup, and with it the handle."""


class LiveConnectRefused(LocalError, LiveError):
    """The Live API will not have us: key, model, voice or a field of the setup."""

    def __init__(self, setting: str, message: str, *, setup_sent: bool = False) -> None:
        self.setting = setting
        """The setting to look at: an environment variable or a field of the agent's file."""
        self.setup_sent = setup_sent
        super().__init__(f"{setting}: {message}")


class LiveConnectFailed(RemoteError, LiveError):
    """No connection was made, for a reason that may pass: network, time-out, server fault."""

    verdict = Verdict.RETRY

    def __init__(
        self, message: str, *, code: int = 1006, reason: str = "", setup_sent: bool = False
    ) -> None:
        self.code = code
        self.reason = reason
        self.setup_sent = setup_sent
        super().__init__(message)


class LiveConnectionLost(RemoteError, LiveError):
    """An open connection ended without our wish."""

    verdict = Verdict.RESUME

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"connection closed with code {code}: {reason or 'no reason given'}")


class LocalProtocolError(LocalError, LiveError):
    """A session was driven in a way its state table does not know: a bug of ours."""
