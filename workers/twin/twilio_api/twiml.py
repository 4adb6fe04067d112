"""The verbs of TwiML as plain data.

Source: twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play keys as tones; playing a file is not simulated."""

    url: str
    digits: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; as first verb it does not answer the call."""

    length_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """A bidirectional media stream."""

    url: str
    name: str = ""
    track: str = "inbound_track"
    status_callback: str = ""
    status_callback_method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect the call to a stream until that ends."""

    stream: Stream | None
    action: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Number:
    """A number to dial; whoever answers hears the document of ``url`` before they are connected."""

    number: str
    send_digits: str = ""
    url: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect the call to whoever answers first."""

    numbers: tuple[Number, ...]
    action: str = ""
    method: str = "POST"
    timeout_s: float = 30.0
    time_limit_s: float = 4 * 3600.0
    caller_id: str = ""
    answer_on_bridge: bool = False


@dataclass(frozen=True, slots=True)
class Gather:
    """Collect keys while its own verbs are spoken."""

    prompts: tuple[Say | Play | Pause, ...]
    action: str = ""
    method: str = "POST"
    timeout_s: float = 5.0
    num_digits: int = 0
    finish_on_key: str = "#"
    action_on_empty_result: bool = False


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not answer the call."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on with another document."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class NotSimulated:
    """A verb Twilio knows and the twin does not; it is skipped, and the call says so."""

    name: str


Verb = Say | Play | Pause | Connect | Dial | Gather | Hangup | Reject | Redirect | NotSimulated


@dataclass(frozen=True, slots=True)
class Document:
    """The verbs of one response, with what Twilio's debugger would warn about."""

    verbs: tuple[Verb, ...]
    warnings: tuple[tuple[int, str], ...] = ()
