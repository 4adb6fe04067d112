"""Statements whose text is made once for each kind of database, for what is written all the time.

For every execution, SQLAlchemy looks up what it has compiled and wraps every value: measured, half
of what a checkpoint costs. Here it compiles, and the driver is given text and values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    Connection,
    CursorResult,
    Dialect,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler

Values = Mapping[str, Any]


class Prepared:
    """A statement that is executed with named values.

    Args:
        make: Builds it for a kind of database, by SQLAlchemy's name for it.
    """

    def __init__(self, make: Callable[[str], Executable]) -> None:
        self._make = make
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, *rows: Values) -> CursorResult[Any]:
        """Execute it once for each row of values."""
        name = connection.dialect.name
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = _Text(self._make(name), connection.dialect)
        values = [text.values(row) for row in rows]
        return connection.exec_driver_sql(text.sql, values[0] if len(values) == 1 else values)


class Upsert:
    """Puts rows into a table, in place of those that have the same primary key."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._prepared = Prepared(self._made)

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Write rows with all columns of the table, no two with the same key."""
        if connection.dialect.name == "postgresql":
            # One statement for all: its driver takes its time over each, and over each value.
            self._prepared.run(connection, {"rows": orjson.dumps(rows).decode()})
        else:
            self._prepared.run(connection, *rows)

    def _made(self, dialect: str) -> Executable:
        columns = self._table.c
        insert: postgresql.Insert | sqlite.Insert
        if dialect == "postgresql":
            rows = cast(bindparam("rows", type_=Text), JSON)
            given = (
                func.json_to_recordset(rows)
                .table_valued(*(column(each.name, each.type) for each in columns), name="given")
                .render_derived(with_types=True)
            )
            names = [each.name for each in columns]
            insert = postgresql.insert(self._table).from_select(names, select(*given.c))
        else:
            insert = sqlite.insert(self._table)
        return insert.on_conflict_do_update(
            index_elements=[each.name for each in columns if each.primary_key],
            set_={
                each.name: insert.excluded[each.name] for each in columns if not each.primary_key
            },
        )


class _Text:
    """SQL of a driver, and what it wants values to look like."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # every one has it
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._order = compiled.positiontup
        self._convert: dict[str, Callable[[Any], Any]] = {}
        for name, bind in compiled.binds.items():
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if convert is not None:
                self._convert[name] = convert

    def values(self, row: Values) -> Any:
        """A row as the driver takes it: by place or by name."""
        if self._convert:
            row = {
                **row,
                **{name: convert(row[name]) for name, convert in self._convert.items()},
            }
        if self._order is None:
            return row
        return tuple([row[name] for name in self._order])
