from __future__ import annotations

import pytest

from telephony.errors import TicketRejected
from telephony.media_stream.ticket import TicketBook


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> TicketBook:
    return TicketBook("secret", clock=clock)


def rejected(book: TicketBook, ticket: str | None, account: str = "AC1", call: str = "CA1") -> str:
    with pytest.raises(TicketRejected) as caught:
        book.redeem(ticket, account_sid=account, call_sid=call)
    return caught.value.reason


def test_a_ticket_lets_one_stream_in(book: TicketBook) -> None:
    """The first time it is good, the second time it is used up."""
    ticket = book.issue(account_sid="AC1", call_sid="CA1")
    book.redeem(ticket, account_sid="AC1", call_sid="CA1")
    assert rejected(book, ticket) == "reused"


def test_a_ticket_expires(book: TicketBook, clock: Clock) -> None:
    """After its lifetime it is no good, to the second."""
    first = book.issue(account_sid="AC1", call_sid="CA1")
    second = book.issue(account_sid="AC1", call_sid="CA1")
    clock.now += 59.9
    book.redeem(first, account_sid="AC1", call_sid="CA1")
    clock.now += 0.2
    assert rejected(book, second) == "expired"


def test_a_ticket_is_for_one_call(book: TicketBook) -> None:
    """Another call or account cannot use it, nor use it up."""
    ticket = book.issue(account_sid="AC1", call_sid="CA1")
    assert rejected(book, ticket, call="CA2") == "foreign"
    assert rejected(book, ticket, account="AC2") == "foreign"
    book.redeem(ticket, account_sid="AC1", call_sid="CA1")


@pytest.mark.parametrize("ticket", [None, ""])
def test_no_ticket_no_stream(book: TicketBook, ticket: str | None) -> None:
    """A missing ticket is told from a wrong one."""
    assert rejected(book, ticket) == "missing"


@pytest.mark.parametrize("ticket", ["x", "a.b", "ü", "." * 400, "x" * 10_000, "W10.abc"])
def test_garbage_is_malformed(book: TicketBook, ticket: str) -> None:
    """Whatever was not signed here is malformed."""
    assert rejected(book, ticket) == "malformed"


def test_another_secret_is_malformed(book: TicketBook, clock: Clock) -> None:
    """A ticket of another deployment does not verify."""
    ticket = TicketBook("other", clock=clock).issue(account_sid="AC1", call_sid="CA1")
    assert rejected(book, ticket) == "malformed"


def test_a_changed_ticket_is_malformed(book: TicketBook) -> None:
    """One character makes the signature wrong."""
    ticket = book.issue(account_sid="AC1", call_sid="CA1")
    changed = ("B" if ticket[0] == "A" else "A") + ticket[1:]
    assert rejected(book, changed) == "malformed"


def test_any_worker_with_the_secret_redeems(clock: Clock) -> None:
    """The worker that gets the stream need not be the one that answered the webhook."""
    ticket = TicketBook("secret", clock=clock).issue(account_sid="AC1", call_sid="CA1")
    TicketBook("secret", clock=clock).redeem(ticket, account_sid="AC1", call_sid="CA1")


def test_memory_is_bounded_by_lifetime(book: TicketBook, clock: Clock) -> None:
    """Used tickets are forgotten once they would have expired."""
    for _ in range(1_000):
        ticket = book.issue(account_sid="AC1", call_sid="CA1")
        book.redeem(ticket, account_sid="AC1", call_sid="CA1")
        clock.now += 1.0
    assert len(book._redeemed) <= 61


def test_a_ticket_fits_a_parameter(book: TicketBook) -> None:
    """Name and value of a <Parameter> share 500 characters."""
    assert len(book.issue(account_sid="AC" + "f" * 32, call_sid="CA" + "f" * 32)) < 400


def test_a_secret_is_needed() -> None:
    """An empty secret would sign for anybody."""
    with pytest.raises(ValueError, match="secret"):
        TicketBook("")
