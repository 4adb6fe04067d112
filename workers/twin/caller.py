"""What a simulated person on the phone does, step by step, in Python or in YAML.

A script in YAML is a list; a step is its name, or its name with its arguments:

    - wait_agent_starts
    - wait_agent_done: {quiet_ms: 800}
    - say: caller_hours
    - wait_agent_spoke: 1500
    - press: "7"
    - hang_up

A coded script says nothing but position codes, one number per 20 ms from 0 at the answer, so that
what came through can be told frame by frame; it has ``speak`` in place of ``say`` and ``tone``:

    coded: true
    steps:
      - wait_agent_done
      - speak: 1500
      - hang_up
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml


@dataclass(frozen=True, slots=True)
class WaitSeconds:
    """Let time pass: that of the twin, which may pass faster than audio does."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WaitStream:
    """Wait until a media stream is up; hang up if none comes.

    Who is dialled from a call waits until they are connected: before that they may be briefed.
    """

    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class WaitAgentStarts:
    """Wait until the other end speaks, since the caller last did; hang up if it never does."""

    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class WaitAgentDone:
    """Wait until the other end has spoken, since the caller last did, and is quiet again."""

    quiet_ms: int = 700
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class WaitAgentSpoke:
    """Wait until that much of the other end's speech was heard: the moment for a barge-in."""

    ms: int
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Say:
    """Say a line by name or text, a WAV file (mono PCM16), or PCM16 at 8 kHz."""

    what: str | bytes


@dataclass(frozen=True, slots=True)
class Tone:
    """Sing a sine of whole hertz."""

    hz: int
    ms: int


@dataclass(frozen=True, slots=True)
class Speak:
    """Make the codes of a coded script as loud as speech, in whole frames of 20 ms."""

    ms: int


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys; ``w`` waits half a second."""

    digits: str


@dataclass(frozen=True, slots=True)
class Record:
    """Record what the other end says, as a voicemail does after its beep; audio's own time."""

    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


@dataclass(frozen=True, slots=True)
class StaySilent:
    """Stay on the line and do nothing more; so does a script that has ended."""


@dataclass(frozen=True, slots=True)
class DropSocket:
    """Break the stream's socket with a TCP reset, without ``stop``.

    ``half_open``: the server is not told even that, and its end of the connection stays.
    """

    half_open: bool = False


@dataclass(frozen=True, slots=True)
class LoseStream:
    """Let nothing pass on the stream any more; so long after it, its socket is reset (1006)."""

    ms: int = 45_000


@dataclass(frozen=True, slots=True)
class SendRaw:
    """Send garbage on the stream: a text, or bytes as a binary message or past the framing."""

    data: str | bytes
    framed: bool = True
    times: int = 1


@dataclass(frozen=True, slots=True)
class SecondStream:
    """Open one more stream for the same call; ``parameters`` as in ``StreamFaults``."""

    parameters: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkipTime:
    """Let the stream's timestamps jump, as if so much had been lost on the phone leg."""

    ms: int


@dataclass(frozen=True, slots=True)
class HoldFrames:
    """Withhold what the stream sends for a while; then it arrives as a burst."""

    ms: int


@dataclass(frozen=True, slots=True)
class ReorderFrames:
    """Send the next frames of the stream in reverse order."""

    frames: int = 5


@dataclass(frozen=True, slots=True)
class ReadSlowly:
    """Read nothing from the stream for a while."""

    ms: int


Wait = WaitSeconds | WaitStream | WaitAgentStarts | WaitAgentDone | WaitAgentSpoke
Act = (
    HangUp
    | DropSocket
    | LoseStream
    | SendRaw
    | SecondStream
    | SkipTime
    | HoldFrames
    | ReorderFrames
    | ReadSlowly
)
Step = Wait | Say | Tone | Speak | Press | Record | StaySilent | Act


def _name(kind: type[Any]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_STEPS: dict[str, type[Any]] = {_name(step): step for step in get_args(Step)}


@dataclass(frozen=True, slots=True)
class CallerScript:
    """The steps of one person, in order.

    Raises:
        ValueError: a step that speaks otherwise than the script does, by its number and name.
    """

    steps: tuple[Step, ...] = ()
    coded: bool = False
    """Whether every frame of the call carries a number: quiet ones where nothing is said."""
    noisy: bool = False
    """Whether there is hiss under everything (``phone_audio.HISS_RMS``)."""
    leaves_after_s: float | None = None
    """From so long after the answer on, they hang up in place of saying, pressing or pausing any
    more; what they have asked they hear out."""

    def __post_init__(self) -> None:
        for number, step in enumerate(self.steps, start=1):
            if self.coded and isinstance(step, Say | Tone):
                raise ValueError(
                    f"step {number} ({_name(type(step))}): a coded script can only speak"
                )
            if not self.coded and isinstance(step, Speak):
                raise ValueError(f"step {number} (speak): only a coded script can")

    @classmethod
    def of(
        cls,
        *steps: Step,
        coded: bool = False,
        noisy: bool = False,
        leaves_after_s: float | None = None,
    ) -> CallerScript:
        """Write a script in Python."""
        return cls(steps, coded, noisy, leaves_after_s)


def load_script(path: Path) -> CallerScript:
    """Read a script from a YAML file.

    Raises:
        ValueError: naming the file, the step and what is wrong with it.
    """
    try:
        return parse_script(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def parse_script(written: object) -> CallerScript:
    """Read a script from what YAML made of it: a list of steps, or ``coded`` and ``steps``.

    Raises:
        ValueError: naming the step and what is wrong with it.
    """
    steps, coded = written, False
    if isinstance(written, Mapping):
        unknown = ", ".join(sorted(str(key) for key in written.keys() - {"coded", "steps"}))
        if unknown:
            raise ValueError(f"a caller's script has coded and steps, not {unknown}")
        steps, coded = written.get("steps"), written.get("coded", False)
        if not isinstance(coded, bool):
            raise ValueError(f"coded is true or false, not {coded!r}")  # noqa: TRY004 - as below
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ValueError("a caller's script is a list of steps")  # noqa: TRY004 - one kind to catch
    return CallerScript(
        tuple(_step(number, step) for number, step in enumerate(steps, start=1)), coded
    )


def _step(number: int, written: object) -> Step:
    name, arguments = written, None
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, arguments),) = written.items()
    kind = _STEPS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"step {number}: {name!r} is none of {', '.join(sorted(_STEPS))}")
    fields = [found.name for found in dataclasses.fields(kind)]
    if arguments is not None and not isinstance(arguments, Mapping):
        # The one argument that matters may stand alone: `say: caller_hours`.
        arguments = {fields[0]: arguments} if fields else {"": arguments}
    try:
        step: Step = kind(**(arguments or {}))
    except TypeError as error:
        raise ValueError(
            f"step {number} ({name}): takes {', '.join(fields) or 'nothing'}"
        ) from error
    return step
