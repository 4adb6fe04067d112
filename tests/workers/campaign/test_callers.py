"""A contact knows us by one number."""

from workers.campaign.callers import caller_for

CALLERS = ("+15550100001", "+15550100002", "+15550100003")


def test_number_is_called_from_one_caller_and_numbers_from_all() -> None:
    """The same for the same number; none of them is left out."""
    numbers = [f"+1555020{number:04}" for number in range(300)]
    chosen = [caller_for(number, CALLERS) for number in numbers]
    assert chosen == [caller_for(number, CALLERS) for number in numbers]
    assert all(60 < chosen.count(caller) < 140 for caller in CALLERS)
