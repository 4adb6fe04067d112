"""Which verb of which document a call runs next.

Sans-IO: the call reports how a verb or a request ended and gets the next step. A verb that ends
leads to its ``action`` where it has one, otherwise to the verb after it; the end of a document is
the end of the call. A document that cannot be had leads to the fallback URL once, then to
Twilio's apology.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from workers.twin.twilio_api import twiml
from workers.twin.twilio_api.twiml import Document, Verb

# Twilio publishes no limit; a loop of redirects must only end at some time.
MAX_DOCUMENTS = 1000

APPLICATION_ERROR = "We are sorry, an application error has occurred. Goodbye."


@dataclass(frozen=True, slots=True)
class Run:
    """Run this verb, after answering the call if it is not answered and ``answers`` is set."""

    verb: Verb
    answers: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Request the next document."""

    url: str
    method: str = "POST"
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """End the call with this status."""

    status: str = "completed"
    why: str = "end of document"


Step = Run | Fetch | Finish


@dataclass(frozen=True, slots=True)
class VerbEnded:
    """A verb ended; ``params`` are what it adds to the request for its ``action``."""

    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatherEnded:
    """A Gather ended; ``digits`` is empty where no key was pressed."""

    digits: str
    finished_on: str = ""


@dataclass(frozen=True, slots=True)
class DocumentFetched:
    """A document has come; relative URLs in it are taken from ``url``."""

    document: Document
    url: str


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A document could not be had; ``code`` is Twilio's."""

    code: int
    url: str


Outcome = VerbEnded | GatherEnded | DocumentFetched | FetchFailed


class Program:
    """The place a call has reached."""

    def __init__(self, *, fallback_url: str = "") -> None:
        self._fallback_url = fallback_url
        self._verbs: tuple[Verb, ...] = ()
        self._next = 0
        self._url = ""
        self._documents = 0
        self._fell_back = False

    def next(self, outcome: Outcome) -> Step:
        """Say what follows this outcome."""
        match outcome:
            case DocumentFetched(document, url):
                return self._load(document, url)
            case FetchFailed(code, url):
                return self._fall_back(code, url)
            case GatherEnded(digits, finished_on):
                return self._after_gather(digits, finished_on)
        verb = self._verbs[self._next - 1]
        match verb:
            case twiml.Connect(action=str(action)) | twiml.Dial(action=str(action)) if action:
                return Fetch(urljoin(self._url, action), verb.method, outcome.params)
        return self._advance()

    def _load(self, document: Document, url: str) -> Step:
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            return Finish("failed", "too many documents")
        self._verbs, self._next, self._url = document.verbs, 0, url
        return self._advance()

    def _advance(self) -> Step:
        if self._next >= len(self._verbs):
            return Finish()
        verb = self._absolute(self._verbs[self._next])
        first = self._next == 0
        self._next += 1
        match verb:
            case twiml.Redirect(url, method):
                return Fetch(urljoin(self._url, url), method)
            case twiml.Hangup():
                return Finish("completed", "Hangup")
            case twiml.Reject(reason):
                if first:
                    return Finish("busy" if reason == "busy" else "no-answer", "Reject")
                return Finish("completed", "Reject after the first verb")
            case twiml.Pause():
                return Run(verb, answers=not first)
            case twiml.Dial(answer_on_bridge=True):
                return Run(verb, answers=False)
        return Run(verb, answers=True)

    def _absolute(self, verb: Verb) -> Verb:
        """Complete the addresses that the verb itself asks, such as those of a Dial's numbers."""
        if not isinstance(verb, twiml.Dial):
            return verb
        return replace(
            verb,
            numbers=tuple(
                replace(number, url=urljoin(self._url, number.url)) if number.url else number
                for number in verb.numbers
            ),
        )

    def _after_gather(self, digits: str, finished_on: str) -> Step:
        verb = self._verbs[self._next - 1]
        if isinstance(verb, twiml.Gather) and (digits or verb.action_on_empty_result):
            params = {"Digits": digits}
            if finished_on:
                params["FinishedOnKey"] = finished_on
            # Without an action the current document is asked again: the well-known loop.
            return Fetch(urljoin(self._url, verb.action), verb.method, params)
        return self._advance()

    def _fall_back(self, code: int, url: str) -> Step:
        if self._fallback_url and not self._fell_back:
            self._fell_back = True
            params = {"ErrorCode": str(code), "ErrorUrl": url}
            return Fetch(self._fallback_url, "POST", params)
        return self._load(Document((twiml.Say(APPLICATION_ERROR), twiml.Hangup())), url)
