"""TwiML text to verbs, as strict as Twilio: what it would refuse raises, what it would log warns.

Source: twilio.com/docs/voice/twiml; errors 11750, 12100, 12200, 31941.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

from workers.twin.twilio_api.twiml import (
    Connect,
    Dial,
    Document,
    Gather,
    Hangup,
    NotSimulated,
    Number,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    Stream,
    Verb,
)

MAX_DOCUMENT_BYTES = 64 * 1024  # twilio.com/docs/api/errors/11750
MAX_PARAMETER_CHARS = 500  # name and value together (twilio.com/docs/voice/twiml/stream)


class TwimlRefused(Exception):
    """The document cannot be run; ``code`` is Twilio's."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


_ATTRIBUTES: dict[str, str] = {
    "Say": "voice language loop",
    "Play": "loop digits",
    "Pause": "length",
    "Connect": "action method",
    "Stream": "url name track statusCallback statusCallbackMethod connectorName audioFormat "
    "sampleRate",
    "Parameter": "name value",
    "Dial": "action method timeout timeLimit callerId answerOnBridge hangupOnStar record "
    "recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent trim "
    "ringTone recordingTrack sequential referUrl referMethod events",
    "Number": "sendDigits url method statusCallback statusCallbackMethod statusCallbackEvent "
    "byoc machineDetection amdStatusCallback amdStatusCallbackMethod",
    "Gather": "input action method timeout speechTimeout maxSpeechTime profanityFilter numDigits "
    "finishOnKey actionOnEmptyResult hints language bargeIn debug enhanced speechModel "
    "partialResultCallback partialResultCallbackMethod",
    "Hangup": "",
    "Reject": "reason",
    "Redirect": "method",
}
_NOT_SIMULATED = frozenset(
    ("Enqueue", "Leave", "Record", "Refer", "Start", "Stop", "Pay", "Prompt", "Sms", "Echo")
)


def parse(text: bytes) -> Document:
    """Read a TwiML document.

    Raises:
        TwimlRefused: too large (11750) or not TwiML (12100).
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise TwimlRefused(11750, f"{len(text)} bytes")
    try:
        root = ET.fromstring(text)  # noqa: S314 - our own worker's answer, at most 64 kB
    except ET.ParseError as error:
        raise TwimlRefused(12100, str(error)) from error
    if root.tag != "Response":
        raise TwimlRefused(12100, f"root element is {root.tag}, not Response")
    reader = _Reader()
    verbs = reader.verbs(root)
    return Document(verbs, tuple(reader.warnings))


class _Reader:
    """Reads elements and collects what is wrong with them."""

    def __init__(self) -> None:
        self.warnings: list[tuple[int, str]] = []
        self._known: dict[str, Callable[[ET.Element], Verb]] = {
            "Say": lambda e: Say(_text(e), int(self._number(e, "loop", 1))),
            "Play": lambda e: Play(_text(e), e.get("digits", "")),
            "Pause": lambda e: Pause(self._number(e, "length", 1)),
            "Connect": self._connect,
            "Dial": self._dial,
            "Gather": self._gather,
            "Hangup": lambda _: Hangup(),
            "Reject": lambda e: Reject(e.get("reason", "rejected")),
            "Redirect": lambda e: Redirect(_text(e), e.get("method", "POST").upper()),
        }

    def verbs(self, parent: ET.Element) -> tuple[Verb, ...]:
        """Read every verb below ``parent``."""
        return tuple(verb for child in parent if (verb := self._verb(child)) is not None)

    def _verb(self, element: ET.Element) -> Verb | None:
        if element.tag in _NOT_SIMULATED:
            return NotSimulated(element.tag)
        read = self._known.get(element.tag)
        if read is None:
            self._warn(f"element {element.tag} is not allowed here")
            return None
        self._check(element)
        return read(element)

    def _connect(self, element: ET.Element) -> Connect:
        stream = None
        for child in element:
            if child.tag == "Stream" and stream is None:
                stream = self._stream(child)
            else:
                self._warn(f"element {child.tag} is not allowed in Connect, or not again")
        return Connect(stream, element.get("action", ""), element.get("method", "POST").upper())

    def _stream(self, element: ET.Element) -> Stream:
        self._check(element)
        track = element.get("track", "inbound_track")
        if track != "inbound_track":
            self.warnings.append((31941, f"track {track} under Connect"))
        return Stream(
            url=element.get("url", ""),
            name=element.get("name", ""),
            track=track,
            status_callback=element.get("statusCallback", ""),
            status_callback_method=element.get("statusCallbackMethod", "POST").upper(),
            parameters=dict(self._parameters(element)),
        )

    def _parameters(self, element: ET.Element) -> Iterable[tuple[str, str]]:
        for child in element:
            if child.tag != "Parameter":
                self._warn(f"element {child.tag} is not allowed in Stream")
                continue
            self._check(child)
            name, value = child.get("name", ""), child.get("value", "")
            if len(name) + len(value) < MAX_PARAMETER_CHARS:
                yield name, value
            else:
                self._warn(f"Parameter {name} is longer than {MAX_PARAMETER_CHARS} characters")

    def _dial(self, element: ET.Element) -> Dial:
        numbers = []
        if element.text and element.text.strip():
            numbers.append(Number(element.text.strip()))
        for child in element:
            if child.tag == "Number":
                self._check(child)
                numbers.append(
                    Number(
                        _text(child),
                        child.get("sendDigits", ""),
                        child.get("url", ""),
                        child.get("method", "POST").upper(),
                    )
                )
            else:
                self._warn(f"element {child.tag} in Dial is not allowed, or not simulated")
        return Dial(
            numbers=tuple(numbers),
            action=element.get("action", ""),
            method=element.get("method", "POST").upper(),
            timeout_s=self._number(element, "timeout", 30),
            time_limit_s=self._number(element, "timeLimit", 4 * 3600),
            caller_id=element.get("callerId", ""),
            answer_on_bridge=element.get("answerOnBridge") == "true",
        )

    def _gather(self, element: ET.Element) -> Gather:
        prompts = self.verbs(element)
        return Gather(
            prompts=tuple(verb for verb in prompts if isinstance(verb, Say | Play | Pause)),
            action=element.get("action", ""),
            method=element.get("method", "POST").upper(),
            timeout_s=self._number(element, "timeout", 5),
            num_digits=int(self._number(element, "numDigits", 0)),
            finish_on_key=element.get("finishOnKey", "#"),
            action_on_empty_result=element.get("actionOnEmptyResult") == "true",
        )

    def _number(self, element: ET.Element, name: str, default: float) -> float:
        written = element.get(name)
        if written is None:
            return default
        try:
            return max(0.0, float(written))
        except ValueError:
            self._warn(f"attribute {name}={written!r} of {element.tag} is not a number")
            return default

    def _check(self, element: ET.Element) -> None:
        for name in sorted(set(element.keys()) - set(_ATTRIBUTES[element.tag].split())):
            self._warn(f"attribute {name} is not allowed in {element.tag}")

    def _warn(self, detail: str) -> None:
        self.warnings.append((12200, detail))


def _text(element: ET.Element) -> str:
    return "".join(element.itertext()).strip()
