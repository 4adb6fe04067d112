"""Numbers in any spelling, and where they are."""

import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from workers.campaign import numbers
from workers.campaign.numbers import (
    is_region,
    is_zone,
    parse_number,
    parse_with_zones,
    zone_names,
    zones_of,
)

EXAMPLES = [
    phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in phonenumbers.PhoneNumberType.values()
    if (example := phonenumbers.example_number_for_type(region, kind)) is not None
]


def library_says(text: str, region: str | None) -> str | None:
    """What the library alone makes of it; None where it is not valid."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def ours(text: str, region: str | None) -> str | None:
    try:
        return parse_number(text, region)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+1 (212) 555-0123", None, "+12125550123"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("1-212-555-0123", "US", "+12125550123"),
        ("030 / 123 45 67", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("+49 (0)30 1234567", None, "+49301234567"),
        ("+390612345678", None, "+390612345678"),
        ("tel:+49-30-1234567", None, "+49301234567"),
        ("\u202a+49 30 1234567\u202c", None, "+49301234567"),
        ("\uff0b49 30 \uff11234567", None, "+49301234567"),
        (" 030\u00a01234567 ", "DE", "+49301234567"),
    ],
)
def test_spellings_lead_to_one_number(text: str, region: str | None, number: str) -> None:
    """Brackets, blanks, trunk prefixes, other digits and copied marks change nothing."""
    assert parse_number(text, region) == number


@pytest.mark.parametrize(
    ("text", "region", "why"),
    [
        ("", "DE", "is empty"),
        ("030 1234567", None, "names no region"),
        ("030 1234567", "UK", "'UK' is no region"),
        ("+999 123456789", None, "country code that does not exist"),
        ("4.92E+11", "DE", "rounded by a spreadsheet"),
        ("+493012345.0", None, "made a decimal"),
        ("030 1234567 John", "DE", "letters"),
        ("+1 212 555 0123 x5", None, "letters"),
        ("+1 212 555 0123 #5", None, "extension"),
        ("+1 555 010 0001", None, r"does|exists in country code \+1"),
        ("+49 30 1234567 +49 30 7654321", None, "."),
        ("12", "DE", "."),
        ("--", "DE", "not a phone number"),
        ("1" * 70, "DE", "too long"),
    ],
)
def test_what_cannot_be_dialled_says_why(text: str, region: str | None, why: str) -> None:
    """A number that is none, or would be another one, is refused without being repeated."""
    with pytest.raises(ValueError, match=why) as caught:
        parse_number(text, region)
    said = str(caught.value)
    assert not re.search(r"\d{3}", said)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("number", EXAMPLES)
def test_the_shortcut_agrees_with_the_library_on_every_country(number: str) -> None:
    """Number and zones of each country's examples are those the library finds on its own."""
    parsed = phonenumbers.parse(number)
    expected = tuple(
        zone for zone in timezone.time_zones_for_number(parsed) if zone != "Etc/Unknown"
    )
    assert parse_with_zones(number, None) == (library_says(number, None), expected)
    assert zones_of(number) == expected


@given(
    number=st.sampled_from(EXAMPLES),
    tail=st.text("0123456789", max_size=4),
    cut=st.integers(0, 4),
    trunk=st.sampled_from(["", "0", "1", "8", "00", "011"]),
)
def test_the_shortcut_agrees_with_the_library_on_damaged_numbers(
    number: str, tail: str, cut: int, trunk: str
) -> None:
    """Digits cut off, added or put behind the country code are read as the library reads them."""
    code = str(phonenumbers.parse(number).country_code)
    text = "+" + code + trunk + number[1 + len(code) : len(number) - cut] + tail
    assert ours(text, None) == library_says(text, None)


@given(
    region=st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    kind=st.sampled_from(list(phonenumbers.PhoneNumberType.values())),
    style=st.sampled_from(
        [phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL]
    ),
    before=st.sampled_from(["", "0", "1", "00", "011", "("]),
    cut=st.integers(0, 3),
    bare=st.booleans(),
)
def test_the_shortcut_agrees_with_the_library_on_numbers_as_they_are_written_at_home(
    region: str, kind: int, style: int, before: str, cut: int, bare: bool
) -> None:
    """With and without what is dialled before them, grouped or not, cut off or whole."""
    example = phonenumbers.example_number_for_type(region, kind)
    if example is None:
        return
    written = phonenumbers.format_number(example, style)
    text = before + (re.sub(r"\D", "", written) if bare else written)
    text = text[: len(text) - cut]
    if not re.search("[^\\W\\d_]", text):
        assert ours(text, region) == library_says(text, region)


@given(st.text(" ()-+0123456789", max_size=20), st.sampled_from([None, "US", "DE", "IT", "MX"]))
def test_the_shortcut_reads_nothing_the_library_would_not(text: str, region: str | None) -> None:
    """Brackets and blanks anywhere: the same number, or a refusal."""
    assert ours(text, region) == library_says(text, region)


@given(st.text(max_size=30), st.sampled_from([None, "US", "DE", "UK"]))
def test_garbage_is_a_number_or_a_refusal(text: str, region: str | None) -> None:
    """Any text yields E.164 or a ValueError, nothing else."""
    number = ours(text, region)
    assert number is None or re.fullmatch(r"\+[1-9]\d{5,14}", number)


def test_zones_are_all_that_are_possible() -> None:
    """An area code has its zone, a toll-free number all of its country's."""
    assert zones_of("+12125550123") == ("America/New_York",)
    assert {"America/New_York", "America/Los_Angeles"} <= set(zones_of("+18005551234"))
    assert len(zones_of("+447400123456")) > 1


def test_a_number_that_does_not_exist_has_no_zone() -> None:
    """Nothing known is nothing, not a guess."""
    assert zones_of("+15550100001") == ()
    assert zones_of("nonsense") == ()
    # Satellites are nowhere.
    assert zones_of("+881612345678") == ()


def test_every_zone_of_the_library_exists_here() -> None:
    """What is found by number can be asked for its time."""
    found = {zone for zones in TIMEZONE_DATA.values() for zone in zones} - {"Etc/Unknown"}
    assert found <= zone_names()


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "europe/berlin", "America", "../etc/passwd", "localtime", "\0", "UTC+2"],
)
def test_only_exact_names_are_zones(name: str) -> None:
    """A directory, a path, another case or the machine's own zone is none."""
    assert not is_zone(name)


def test_real_zones_and_regions_are_known() -> None:
    """The plain case."""
    assert is_zone("Europe/Berlin")
    assert is_region("GB")
    assert not is_region("UK")
    assert not is_region("us")


@given(
    country=st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
    national=st.integers(min_value=1_000, max_value=99_999_999_999),
)
@settings(max_examples=3_000)
def test_kind_is_the_library_s(country: int, national: int) -> None:
    """Of whatever digits behind every country code, shared ones among them."""
    number = phonenumbers.PhoneNumber(country_code=country, national_number=national)
    assert numbers._kind(number) == phonenumbers.number_type(number)


def test_kind_is_the_library_s_for_shared_country_codes() -> None:
    """Every area of +1, +44, +7 and the like, in which random digits rarely fall."""
    regions_of = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    shared = [code for code, regions in regions_of.items() if len(regions) > 1]
    for country in shared:
        for head in range(100, 1_000):
            for tail in (2_000_000, 5_550_123):
                number = phonenumbers.PhoneNumber(
                    country_code=country, national_number=head * 10**7 + tail
                )
                assert numbers._kind(number) == phonenumbers.number_type(number), number


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_kind_is_the_library_s_for_every_kind_there_is(region: str) -> None:
    """Each region's examples, and what becomes of them with one digit changed or missing."""
    for kind in phonenumbers.PhoneNumberType.values():
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        assert numbers._kind(example) == phonenumbers.number_type(example)
        digits = str(example.national_number)
        for place in range(len(digits)):
            for other in ("", *"0123456789"):
                number = phonenumbers.PhoneNumber(
                    country_code=example.country_code,
                    national_number=int(digits[:place] + other + digits[place + 1 :]),
                    italian_leading_zero=example.italian_leading_zero,
                )
                assert numbers._kind(number) == phonenumbers.number_type(number), number
