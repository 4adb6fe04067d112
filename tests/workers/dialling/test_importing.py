"""A contact file goes into the database once, and its bad rows beside it."""

from __future__ import annotations

import dataclasses
import io

import pytest
from sqlalchemy import Engine

from tests.workers.store.campaigns.samples import LATER, NOW, campaign
from workers.campaign.contacts import ContactFileError
from workers.campaign.model import Columns, ContactState, Source
from workers.dialling import importing
from workers.dialling.importing import Imported, import_contacts
from workers.store.campaigns.campaigns import create, load_by_id
from workers.store.campaigns.contacts import counts, errors_page, page
from workers.store.campaigns.events import IMPORTED, events
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.suppressions import suppress
from workers.store.database import reading, writing

SOURCE = Source("people.csv", Columns(number="phone", name="who", variables={"order": "no"}))
HEAD = "phone,who,no\n"


def number(n: int) -> str:
    return f"+1212555{n:04}"


def people(*places: int) -> str:
    return "".join(f"{number(n)},Person {n},{n}\n" for n in places)


@pytest.fixture
def row(engine: Engine) -> CampaignRow:
    definition = dataclasses.replace(campaign(), source=SOURCE, consent_required=False)
    with writing(engine) as connection:
        made = load_by_id(connection, create(connection, definition, now=NOW))
    assert made is not None
    return made


def take(engine: Engine, row: CampaignRow, text: str) -> Imported:
    return import_contacts(engine, row, io.BytesIO(text.encode()), now=LATER)


def test_good_rows_are_taken_and_bad_ones_kept(engine: Engine, row: CampaignRow) -> None:
    """Over many batches; what was read is told after each."""
    bad = "12,Nobody,1\n"
    text = HEAD + people(*range(5)) + bad + people(3, 7) + bad
    told: list[Imported] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "BATCH_ROWS", 2)
        done = import_contacts(
            engine, row, io.BytesIO(text.encode()), now=LATER, on_progress=told.append
        )
    assert (done.new, done.known, done.errors, done.rows) == (6, 1, 2, 9)
    assert [each.line for each in done.first_errors] == [7, 10]
    assert [each.rows for each in told] == [2, 4, 6, 8, 9]
    assert told[-1] == done
    with reading(engine) as connection:
        assert [each.line for each in page(connection, row.campaign_id)] == [2, 3, 4, 5, 6, 9]
        kept, _ = errors_page(connection, row.campaign_id)
        (told_of,) = events(connection, row.campaign_id)
    assert [each.raw for each in kept] == [bad.strip()] * 2
    assert (told_of.kind, told_of.detail["new"], told_of.detail["errors"]) == (IMPORTED, 6, 2)


def test_import_that_broke_off_is_mended_by_another(engine: Engine, row: CampaignRow) -> None:
    """What was in stays as it is; errors are those of the last import."""
    text = HEAD + people(*range(4)) + "12,Nobody,1\n"

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            got = super().read(min(size or 40, 40))
            if not got:
                raise OSError("the disk is gone")
            return got

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "BATCH_ROWS", 1)
        patch.setattr("workers.campaign.contact_encoding.HEAD", 40)
        with pytest.raises(OSError, match="gone"):
            import_contacts(engine, row, Broken(text.encode()), now=NOW)
    assert take(engine, row, text).errors == 1
    assert (again := take(engine, row, text)).new == 0
    assert (again.known, again.errors) == (4, 1)
    with reading(engine) as connection:
        assert counts(connection, row.campaign_id)[ContactState.WAITING] == 4
        assert len(errors_page(connection, row.campaign_id)[0]) == 1


def test_suppressed_number_is_set_aside(engine: Engine, row: CampaignRow) -> None:
    """It is counted among the new ones, and waits for nothing."""
    with writing(engine) as connection:
        suppress(connection, number(1), reason="", source="operator", now=NOW)
    done = take(engine, row, HEAD + people(1, 2))
    assert (done.new, done.suppressed) == (2, 1)
    with reading(engine) as connection:
        assert counts(connection, row.campaign_id)[ContactState.NEVER] == 1


def test_file_that_cannot_be_read_changes_nothing(engine: Engine, row: CampaignRow) -> None:
    """The errors of the last import are still there."""
    take(engine, row, HEAD + people(1) + "12,Nobody,1\n")
    with pytest.raises(ContactFileError, match="no column 'phone'"):
        take(engine, row, "who,no\nAda,1\n")
    with reading(engine) as connection:
        assert len(errors_page(connection, row.campaign_id)[0]) == 1


def test_half_a_character_stops_no_other_row(engine: Engine, row: CampaignRow) -> None:
    """An encoding that lets lone surrogates through: the row is an error."""
    source = dataclasses.replace(SOURCE, encoding="utf-7")
    odd = dataclasses.replace(row, definition=dataclasses.replace(row.definition, source=source))
    text = HEAD.encode("utf-7") + b"+-12125550001,+2AA-,1\n+-12125550002,Ada,2\n"
    done = import_contacts(engine, odd, io.BytesIO(text), now=NOW)
    assert (done.new, done.errors) == (1, 1)


def test_long_rows_make_small_batches(engine: Engine, row: CampaignRow) -> None:
    """Memory is bounded by characters, not by rows alone."""
    told: list[Imported] = []
    text = HEAD + "".join(f"{number(n)},{'x' * 900},{n}\n" for n in range(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "BATCH_CHARACTERS", 1_000)
        import_contacts(engine, row, io.BytesIO(text.encode()), now=NOW, on_progress=told.append)
    assert [each.rows for each in told] == [2, 4]
