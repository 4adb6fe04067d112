"""What goes wrong with one request to the REST API, as it is written down or by chance.

By chance it follows from a seed, the kind of request and its number among those of its kind alone:
orders of calls meet the same fates however often somebody asks for their state in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal


@dataclass(frozen=True, slots=True)
class RestFault:
    """Late, refused, or carried out although the answer says otherwise or does not come in time."""

    delay_s: float = 0.0
    """Passes before anything is done."""
    answer_delay_s: float = 0.0
    """Passes when it is done: whoever has given up by then cannot know that it was."""
    code: int = 0
    """One of Twilio's error codes, answered in place of what came of it."""
    carried_out: bool = False
    """Whether it is done all the same where ``code`` or ``broken_off`` is set."""
    broken_off: bool = False
    """The connection ends without an answer, as from a proxy that dies."""


Kind = Literal["create", "update", "read"]
"""An order of a call, another change, a question."""


def kind_of(method: str, path: str) -> Kind:
    """Tell which kind of request this is."""
    if method == "GET":
        return "read"
    return "create" if path.endswith("/Calls.json") else "update"


@dataclass(frozen=True, slots=True)
class RestOdds:
    """How likely each thing is for one request; together no more than 1.

    Raises:
        ValueError: they are more than 1 together.
    """

    too_many: float = 0.05
    """20429, not processed."""
    refused: float = 0.03
    """20500 or 20503 before anything is done."""
    done_and_refused: float = 0.03
    """The same, and it is done."""
    late: float = 0.02
    """Done, with an answer for which nobody waits any more."""
    lost: float = 0.02
    """Not done, and the connection is broken off."""
    done_and_lost: float = 0.03
    """The same, and it is done."""

    def __post_init__(self) -> None:
        total = (
            self.too_many + self.refused + self.done_and_refused + self.late + self.lost
        ) + self.done_and_lost
        if total > 1:
            raise ValueError(f"the odds are {total} together, more than 1")


NO_ODDS = RestOdds(0, 0, 0, 0, 0, 0)


class RandomRest:
    """Use as a twin's ``on_rest``.

    Args:
        seed: fixes everything.
        create: the odds of ``POST /Calls.json``.
        update: those of other changes.
        read: those of questions.
        late_s: how long the late answer takes; more than the client waits.
    """

    def __init__(
        self,
        seed: int,
        *,
        create: RestOdds | None = None,
        update: RestOdds = NO_ODDS,
        read: RestOdds = NO_ODDS,
        late_s: float = 15.0,
    ) -> None:
        self._seed = seed
        self._odds: dict[Kind, RestOdds] = {
            "create": create or RestOdds(),
            "update": update,
            "read": read,
        }
        self._late_s = late_s
        self._counts: dict[Kind, int] = {"create": 0, "update": 0, "read": 0}

    def __call__(self, method: str, path: str) -> RestFault | None:
        """Throw the dice for the next request."""
        kind = kind_of(method, path)
        self._counts[kind] += 1
        return self.of(kind, self._counts[kind])

    def of(self, kind: Kind, number: int) -> RestFault | None:
        """Say what happens to the ``number``-th request of this kind, from 1."""
        dice = Random(f"{self._seed} {kind} {number}")  # noqa: S311 - not for secrets
        code = dice.choice((20500, 20503))
        odds = self._odds[kind]
        left = dice.random()
        for share, fault in (
            (odds.too_many, RestFault(code=20429)),
            (odds.refused, RestFault(code=code)),
            (odds.done_and_refused, RestFault(code=code, carried_out=True)),
            (odds.late, RestFault(answer_delay_s=self._late_s)),
            (odds.lost, RestFault(broken_off=True)),
            (odds.done_and_lost, RestFault(broken_off=True, carried_out=True)),
        ):
            left -= share
            if left < 0:
                return fault
        return None
