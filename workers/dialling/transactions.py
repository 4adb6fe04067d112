"""Transactions that are made again where two stood in each other's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from workers.store.database import is_away, is_conflict, writing

T = TypeVar("T")

FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    SQLAlchemyError,
)
"""What a row that nobody has thought of may raise; not all exceptions, because Celery interrupts
tasks with some of its own."""

_TRIES: Final = 4


def write(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Do ``work`` in a transaction of its own, again after a deadlock; it has no other effects.

    Raises:
        SQLAlchemyError: the database is not there, or the same conflict came up again and again.
    """
    for left in reversed(range(_TRIES)):
        try:
            with writing(engine) as connection:
                return work(connection)
        except DBAPIError as error:
            if not left or not is_conflict(error):
                raise
    raise AssertionError("the last try returns or raises")


def concerns_one(fault: BaseException) -> bool:
    """Whether one of ``FAULTS`` is of the row in hand, and others may go on without it."""
    return not (is_away(fault) or is_conflict(fault))
