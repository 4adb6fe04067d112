"""Transactions that are made again where two stood in each other's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from workers.store.database import is_conflict, writing

T = TypeVar("T")

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
