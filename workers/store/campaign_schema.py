"""The tables of outbound campaigns, the same on SQLite and PostgreSQL.

What a campaign did is read from here alone: messages in a queue only say that there is something
to look at. All times are UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from workers.store.schema import metadata

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(128), nullable=False, unique=True),
    # workers.campaign.model.CampaignState
    Column("state", String(16), nullable=False),
    # workers.campaign.model.Campaign as JSON text.
    Column("definition", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("state_at", DateTime(timezone=True), nullable=False),
    # Of the newest start or resume: the ramp and the brake count from here.
    Column("started_at", DateTime(timezone=True)),
    # How many more contacts a canary may begin with; empty outside one.
    Column("canary_left", Integer),
    # Why it is in its state, and what mends it, in sentences for the operator.
    Column("reason", Text, nullable=False, server_default=""),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),
    # workers.campaign.contacts.identity: the same row of the source is one contact for good.
    Column("identity", LargeBinary(16), nullable=False),
    # Of the source.
    Column("line", Integer, nullable=False),
    Column("number", String(16), nullable=False),
    # IANA names with commas between.
    Column("zones", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("key", Text, nullable=False, server_default=""),
    Column("consent", Text, nullable=False, server_default=""),
    # JSON: by the prompt's names.
    Column("variables", Text, nullable=False, server_default="{}"),
    # workers.campaign.model.ContactState
    Column("state", String(16), nullable=False),
    # When a tick looks at it again; never later than it may be called.
    Column("due_at", DateTime(timezone=True), nullable=False),
    # What the spacing of attempts says; empty before the first.
    Column("not_before", DateTime(timezone=True)),
    # Asked of Twilio, whatever came of it; and those of them that Twilio never had.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_placed", Integer, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    # workers.campaign.model.LineOutcome of the newest attempt.
    Column("outcome", String(16)),
    # JSON: what the agent reported, by the fields of the campaign's file.
    Column("report", Text),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("campaign_id", "identity"),
    Index("ix_contacts_number", "number"),
    Index("ix_contacts_state", "campaign_id", "state"),
)
# Choosing whom to call next reads the head of this one, however long the list is.
WAITING = text("contacts.state = 'waiting'")
Index(
    "ix_contacts_due",
    contacts.c.campaign_id,
    contacts.c.due_at,
    contacts.c.id,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)

# Rows of the source that were kept aside.
contact_errors = Table(
    "contact_errors",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False, index=True),
    Column("line", Integer, nullable=False),
    Column("field", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("raw", Text, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("contact_id", Integer, ForeignKey("contacts.id"), nullable=False),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),
    Column("number", String(16), nullable=False),
    Column("caller", String(16), nullable=False),
    Column("ordinal", Integer, nullable=False),
    # workers.campaign.model.AttemptState
    Column("state", String(16), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("asked_at", DateTime(timezone=True)),
    # Its slot among the calls at once is taken until then, or until it is over.
    Column("lease_until", DateTime(timezone=True)),
    # When it is looked for at Twilio unless there is news of it before.
    Column("look_at", DateTime(timezone=True)),
    Column("call_sid", String(64), unique=True),
    # Twilio's CallStatus and the SequenceNumber of the newest callback.
    Column("status", String(16), nullable=False, server_default=""),
    Column("sequence", Integer),
    Column("answered_by", String(32)),
    Column("sip_code", Integer),
    # Twilio's, of a refusal or of the call; 0: none.
    Column("error_code", Integer, nullable=False, server_default="0"),
    Column("answered_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("duration_s", Integer),
    Column("message_left", Boolean, nullable=False, server_default=false()),
    Column("opted_out", Boolean, nullable=False, server_default=false()),
    # We ended it as a machine's.
    Column("machine", Boolean, nullable=False, server_default=false()),
    # A person answered and heard nobody within 2 s.
    Column("abandoned", Boolean, nullable=False, server_default=false()),
    # workers.campaign.model.LineOutcome; empty until it is settled.
    Column("outcome", String(16)),
    Column("settled_at", DateTime(timezone=True)),
    Column("reason", Text, nullable=False, server_default=""),
    UniqueConstraint("contact_id", "ordinal"),
    Index("ix_attempts_number", "number", "asked_at"),
    Index("ix_attempts_settled", "campaign_id", "settled_at"),
)
# Those under way are a handful among those of years.
UNSETTLED = text("attempts.settled_at IS NULL")
Index(
    "ix_attempts_unsettled",
    attempts.c.state,
    attempts.c.campaign_id,
    sqlite_where=text("settled_at IS NULL"),
    postgresql_where=text("settled_at IS NULL"),
)

# Whom nobody may call, over all campaigns.
suppressions = Table(
    "suppressions",
    metadata,
    Column("number", String(16), primary_key=True),
    Column("reason", Text, nullable=False),
    # Who wrote it: import, agent, keypad, operator, carrier.
    Column("source", String(32), nullable=False),
    Column("call_sid", String(64)),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# What holds for everything; a row that is there is a switch that is on.
switches = Table(
    "switches",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("set_at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
)

# Calls per second: of a Twilio account by its SID, of a campaign as campaign:<id>.
pace_buckets = Table(
    "pace_buckets",
    metadata,
    Column("name", String(64), primary_key=True),
    # workers.campaign.pacing.Bucket
    Column("tokens", Float, nullable=False),
    Column("at_s", Float, nullable=False),
)

# What an operator or the brake did to a campaign, and when.
campaign_events = Table(
    "campaign_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False, index=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("kind", String(32), nullable=False),
    # JSON
    Column("detail", Text, nullable=False),
)

# What a customer's system is still to be told, or was told last.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),
    # One for each contact: the newest revision.
    Column("contact_id", Integer, ForeignKey("contacts.id"), nullable=False, unique=True),
    # JSON
    Column("payload", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), nullable=False),
    Column("delivered_at", DateTime(timezone=True)),
    Column("last_error", Text, nullable=False, server_default=""),
)
UNDELIVERED = text("outbox.delivered_at IS NULL")
Index(
    "ix_outbox_undelivered",
    outbox.c.next_at,
    sqlite_where=text("delivered_at IS NULL"),
    postgresql_where=text("delivered_at IS NULL"),
)
