"""What to try next after a connection was lost or refused, and how soon.

How it works. A close code alone says little: 1011 is a cap reached, a server ill, a quota used up,
or a socket that lingers (live-api.md 5.2; clients that decided by the code alone lost calls,
yagudaev/voiceclaw#53 and #164). So trouble is told apart by the reason text first, then by the
code, then weighed: how old the connection was, whether it had come up by a handle, and how often in
a row nothing has come of it. Models are tried in the order given; another model cannot be resumed
(ai.google.dev/api/live: any parameter but the model may change), so it is filled anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum


class Trouble(StrEnum):
    """Kinds of trouble with a connection."""

    NETWORK = "network"
    """Gone without a word: 1006, no route, a time-out."""
    CAP = "cap"
    """It had its time: 1000, "Deadline expired", "The operation was aborted"."""
    ILL = "ill"
    """The server is at fault or overloaded: 1011, HTTP 5xx."""
    INVALID = "invalid"
    """1007 or 1008 without a cause to be seen: a bad handle, a full context, a server bug."""
    QUOTA = "quota"
    """Used up; it will be for a while."""
    CONFIG = "config"
    """A key, model or field that is refused; another try meets the same."""


class Way(Enum):
    """How to get a connection."""

    RESUME = "resume"
    REFILL = "refill"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try next."""

    way: Way
    model: str
    delay_s: float = 0.0


# Observed: one resume recovers from about 99 of 100 (discuss.ai.google.dev/t/167186), so the first
# try is at once. Jitter, because the sessions of a process are dropped together.
_DELAYS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_JITTER = 0.25
QUOTA_DELAY_S = 5.0
"""Between tries where the quota is used up and there is no other model: doubled each time."""
SHORT_LIVED_S = 10.0
"""A connection that ends sooner without an answer has not had its time; a resumed one carries what
killed it (discuss.ai.google.dev/t/178035)."""
ENOUGH_IN_A_ROW = 3
"""Failures of one model before the next is tried."""

_QUOTA = re.compile(r"quota|rate.?limit|resource.?exhausted", re.IGNORECASE)
_CAP = re.compile(r"deadline expired|operation was aborted", re.IGNORECASE)
_ILL = re.compile(r"unavailable|internal error|overloaded", re.IGNORECASE)
_CONFIG = re.compile(
    r"response modalities|is not supported for this model|unknown name|api.?key|not found",
    re.IGNORECASE,
)


def trouble_of_close(code: int, reason: str) -> Trouble:
    """Tell what a close code, or the HTTP status of a refused upgrade, means."""
    for pattern, trouble in (
        (_QUOTA, Trouble.QUOTA),
        (_CAP, Trouble.CAP),
        (_CONFIG, Trouble.CONFIG),
        (_ILL, Trouble.ILL),
    ):
        if pattern.search(reason):
            return trouble
    match code:
        case 1000 | 1001:
            return Trouble.CAP
        case 1007 | 1008:
            return Trouble.INVALID
        case 1011 | 1012 | 1013 | 1014:
            return Trouble.ILL
        case 401 | 403 | 404:
            return Trouble.CONFIG
        case 429:
            return Trouble.QUOTA
    # HTTP statuses of the upgrade come here, too.
    return Trouble.ILL if 500 <= code < 600 else Trouble.NETWORK


class Ladder:
    """Decides the next try of one session, from its first connection to its last.

    Args:
        models: The agent's model, then its fallback models.
        random: Uniform in [0, 1), for the jitter.
    """

    def __init__(self, models: tuple[str, ...], random: Callable[[], float]) -> None:
        self._models = models
        self._random = random
        self._index = 0
        self._in_a_row = 0
        self._quotas = 0
        self._refusals = 0
        self._silences = 0
        self._proven_once = False

    @property
    def model(self) -> str:
        """The model in use."""
        return self._models[self._index]

    def begin_with(self, model: str) -> bool:
        """Take the model that another worker's session had come to; False where it is none of ours.

        It has worked in this very call.
        """
        if model not in self._models:
            return False
        self._index = self._models.index(model)
        self.answered()
        return True

    def answered(self) -> None:
        """The model answers; whether the connection holds is still to be seen."""
        self._silences = 0
        self._proven_once = True

    def proven(self) -> None:
        """A turn was answered and completed: what came before counts no more."""
        self.answered()
        self.stable()

    def stable(self) -> None:
        """The connection holds, whether or not its model has had anything to answer."""
        self._in_a_row = self._quotas = self._refusals = 0

    def after_leaving(self, way: Way, *, age_s: float) -> Plan:
        """Plan after a connection that was left on purpose; one hardly used counts as a failure."""
        if age_s >= SHORT_LIVED_S:
            return Plan(way, self.model)
        self._in_a_row += 1
        return self._again(way)

    def after_loss(
        self, trouble: Trouble, *, age_s: float, resumed: bool, proven: bool
    ) -> Plan | None:
        """Plan after an open connection was lost; None where nothing is left to try.

        Args:
            trouble: What the close meant.
            age_s: How long it had been open.
            resumed: Whether it had come up by a handle.
            proven: Whether its model had answered.
        """
        stillborn = not proven and age_s < SHORT_LIVED_S
        if trouble is Trouble.CAP and not stillborn:
            return Plan(Way.RESUME, self.model)
        if trouble in (Trouble.QUOTA, Trouble.CONFIG):
            return self._elsewhere(trouble)
        self._in_a_row += 1
        return self._again(Way.REFILL if resumed and stillborn else Way.RESUME)

    def after_failure(self, trouble: Trouble, *, way: Way, handle_spent: bool) -> Plan | None:
        """Plan after a dial that brought no connection; None where nothing is left to try.

        Args:
            trouble: Why.
            way: What was tried.
            handle_spent: Whether the server has seen the handle: then it is not used again
                (straff2002/OpenGlasses#508).
        """
        if way is Way.RESUME and handle_spent and trouble is not Trouble.QUOTA:
            # What is refused is the handle, not we.
            return Plan(Way.REFILL, self.model)
        if trouble in (Trouble.QUOTA, Trouble.CONFIG):
            return self._elsewhere(trouble)
        self._in_a_row += 1
        return self._again(way)

    def after_silence(self) -> Plan | None:
        """Plan after a model that did not answer; None where it was not the first in a row."""
        self._silences += 1
        if self._silences == 1:
            return Plan(Way.REFILL, self.model)
        return self._next_model()

    def _again(self, way: Way) -> Plan:
        if self._in_a_row >= ENOUGH_IN_A_ROW and (plan := self._next_model()) is not None:
            return plan
        delay_s = _DELAYS_S[min(self._in_a_row, len(_DELAYS_S)) - 1]
        return Plan(way, self.model, self._jittered(delay_s))

    def _elsewhere(self, trouble: Trouble) -> Plan | None:
        """Another model, if there is one; else quotas are waited for, refusals tried once more."""
        if (plan := self._next_model()) is not None:
            return plan
        if trouble is Trouble.QUOTA:
            self._quotas += 1
            delay_s = QUOTA_DELAY_S * 2 ** (self._quotas - 1)
            return Plan(Way.RESUME, self.model, self._jittered(delay_s))
        self._refusals += 1
        # A key that has worked in this very call may be refused in passing, but not twice.
        if self._proven_once and self._refusals == 1:
            return Plan(Way.RESUME, self.model, self._jittered(_DELAYS_S[2]))
        return None

    def _next_model(self) -> Plan | None:
        if self._index + 1 >= len(self._models):
            return None
        self._index += 1
        self._in_a_row = self._silences = self._quotas = self._refusals = 0
        return Plan(Way.REFILL, self.model)

    def _jittered(self, delay_s: float) -> float:
        return delay_s * (1 + _JITTER * (2 * self._random() - 1))
