"""The tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    Column("account_sid", String(64), nullable=False),
    Column("direction", String(32), nullable=False),
    # Text: also SIP addresses and client names, of any length.
    Column("from_number", Text, nullable=False),
    Column("to_number", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("status", String(32), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    # Whose it is, and under which number it may be written.
    Column("owner", String(128), nullable=False, server_default=""),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("streams", Integer, nullable=False, server_default="0"),
    Column("transfer_to", Text),
    Column("last_resort", Boolean, nullable=False, server_default=false()),
    # Seconds of the Unix clock, as a JSON list.
    Column("lost_at", Text, nullable=False, server_default="[]"),
)
# What is looked for every second is a handful of rows among those of years. Not bound values:
# SQLite and PostgreSQL look for the words of the index in those of the query
# (sqlite.org/partialindex.html, section 3).
UNFINISHED = text("calls.state <> 'finished'")
OWNED = text("calls.owner <> ''")
for _name, _column, _where in (
    ("ix_calls_unfinished", calls.c.updated_at, text("state <> 'finished'")),
    ("ix_calls_owned", calls.c.owner, text("owner <> ''")),
):
    Index(_name, _column, sqlite_where=_where, postgresql_where=_where)

# What another worker needs to go on with a call; dropped when the call is over.
call_checkpoints = Table(
    "call_checkpoints",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    # Of whoever wrote it.
    Column("fence", Integer, nullable=False),
    # agent.checkpoint.SessionCheckpoint as JSON text.
    Column("checkpoint", Text, nullable=False),
    # agent.conversation.record.CallRecord without what is journalled.
    Column("head", Text, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

call_journal = Table(
    "call_journal",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    # The list of the record, and the place in it.
    Column("kind", String(64), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("item", Text, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("worker", String(128), primary_key=True),
    Column("beats", Integer, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True)),
    # By its own clock; empty where a release before this one has written it, and so is the next.
    Column("seen_at", DateTime(timezone=True)),
    # Calls it takes at once.
    Column("capacity", Integer),
)

# A table of its own: the record is written by the agent's side, also for a call whose row was lost.
call_records = Table(
    "call_records",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    # agent.conversation.record.CallRecord as JSON text.
    Column("record", Text, nullable=False),
)

call_events = Table(
    "call_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call_sid", String(64), nullable=False, index=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("payload", Text, nullable=False),
)

# What operators leave for the agent of a live call (workers.store.messages).
call_messages = Table(
    "call_messages",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call_sid", String(64), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    # Empty once it was handed on, withdrawn or is too old.
    Column("text", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # Which worker has it; never changes once it is set.
    Column("taken_by", String(128)),
    Column("taken_at", DateTime(timezone=True)),
    Column("outcome", String(32)),
    Column("outcome_at", DateTime(timezone=True)),
    # A sentence for the operator, such as why it was refused.
    Column("detail", Text, nullable=False, default=""),
)
