from __future__ import annotations

import secrets

import pytest

from telephony.calls import twiml
from telephony.errors import TicketRejected
from telephony.media_stream.ticket import Ticket, TicketBook


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


def test_a_ticket_says_what_start_does_not(book: TicketBook, clock: Clock) -> None:
    """Stream number, direction and both numbers reach a worker that has not seen the webhook."""
    ticket = TicketBook("secret", clock=clock).issue(
        account_sid="AC1",
        call_sid="CA1",
        stream=3,
        direction="outbound-api",
        from_="+15550100001",
        to="client:zoë",
        notice="transfer_failed",
    )
    issued_at = clock.now
    clock.now += 5
    said = book.redeem(ticket, account_sid="AC1", call_sid="CA1")
    assert said == Ticket(
        "AC1",
        "CA1",
        3,
        "outbound-api",
        "+15550100001",
        "client:zoë",
        notice="transfer_failed",
        issued_at=issued_at,
    )


def test_a_ticket_that_says_no_more_is_for_the_first_stream(book: TicketBook, clock: Clock) -> None:
    """What was not given is empty."""
    ticket = book.issue(account_sid="AC1", call_sid="CA1")
    said = book.redeem(ticket, account_sid="AC1", call_sid="CA1")
    assert said == Ticket("AC1", "CA1", 1, issued_at=clock.now)


def test_a_ticket_of_other_fields_is_malformed(book: TicketBook, clock: Clock) -> None:
    """One signed by a release that says less or more in it is no reason to fail otherwise."""
    signed: list[object] = [["AC1", "CA1", clock.now + 9, "x"], ["AC1"], {}, 7, ["x"] * 9]
    for fields in signed:
        assert rejected(book, book._serializer.dumps(fields)) == "malformed"


@pytest.mark.parametrize("length", [20, 100, 400, 3_000])
def test_a_ticket_fits_a_parameter(book: TicketBook, length: int) -> None:
    """Name and value share 500 characters: what is too long is left out, and both together."""
    account, call = "AC" + secrets.token_hex(16), "CA" + secrets.token_hex(16)
    # Random, so that it cannot be compressed.
    from_, to = "sip:" + secrets.token_urlsafe(length)[:length], "+15550100002"
    ticket = book.issue(
        account_sid=account,
        call_sid=call,
        stream=12,
        direction="outbound-dial",
        from_=from_,
        to=to,
    )
    assert len(twiml.TICKET_PARAMETER) + len(ticket) < 500
    said = book.redeem(ticket, account_sid=account, call_sid=call)
    assert (said.stream, said.direction) == (12, "outbound-dial")
    assert (said.from_, said.to) == ((from_, to) if length <= 100 else ("", ""))


def test_a_secret_is_needed() -> None:
    """An empty secret would sign for anybody."""
    with pytest.raises(ValueError, match="secret"):
        TicketBook("")
