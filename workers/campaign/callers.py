"""Which of a campaign's own numbers a contact is called from."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def caller_for(number: str, callers: Sequence[str]) -> str:
    """The same of our numbers for the same contact, in every run, whatever their order.

    A number that is added or taken away changes it only for the contacts that it gets or had
    (rendezvous hashing: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998).

    Args:
        number: the contact's, E.164.
        callers: ours, E.164.

    Raises:
        ValueError: there are none.
    """
    if len(callers) == 1:
        return callers[0]
    if not callers:
        raise ValueError("there is no number to call from")
    return max(callers, key=lambda caller: blake2b(f"{caller} {number}".encode()).digest())
