"""Phone numbers in any spelling to E.164, and the time zones a number may be in.

A wrong call is worse than a row kept aside: what might be read as another number than was meant
(a spreadsheet's decimal, a name behind it, an extension) is refused. No message contains the
number, so that it may go into a log.

The library's ``parse`` takes some 20 us, most of it to understand spellings. Digits in plain
groups are looked up without it; what the shortcut is not sure of goes the long way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from zoneinfo import available_timezones

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    number_type,
    parse,
)
from phonenumbers.phonenumberutil import (
    is_number_type_geographical,
    national_significant_number,
)
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number
from phonenumbers.tzdata import TIMEZONE_DATA

# Digits in the usual groups; a dot may be a spreadsheet's, a slash may part two numbers.
_PLAIN = re.compile(r"\+?[ (]{0,2}[0-9]{1,15}(?:[ )(-]{1,2}[0-9]{1,15}){0,5}")
_SPACING = str.maketrans("", "", " ()-")
_ROUNDED = re.compile(r"\+?[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+")
_DECIMAL = re.compile(r"\+?[0-9]{6,}[.,]0{1,2}")
_LETTER = re.compile(r"[^\W\d_]")
_COUNTRY_OF = {
    region: country
    for country, regions in COUNTRY_CODE_TO_REGION_CODE.items()
    for region in regions
    if region in SUPPORTED_REGIONS
}
# What a number is taken for before it is taken for a line's or a mobile's, in the library's order.
_BEFORE_LINES = (
    *("premium_rate", "toll_free", "shared_cost", "voip"),
    *("personal_number", "pager", "uan", "voicemail"),
)
_LONGEST = 64
"""Characters; no number with all its brackets and blanks needs as many."""

# Files of the system that name no place: the machine's own zone, and "not set".
_NO_PLACE = frozenset({"localtime", "posixrules", "Factory"})


def parse_number(text: str, region: str | None) -> str:
    """A number as people write it, in E.164.

    Args:
        text: in any spelling the country knows, with or without country code.
        region: of numbers without a country code, ISO 3166-1 alpha-2; None: they are refused.

    Raises:
        ValueError: no number, not a valid one, or one that would not be dialled as it is written;
            says why without the number.
    """
    return _read(text, region)[0]


def parse_with_zones(text: str, region: str | None) -> tuple[str, tuple[str, ...]]:
    """``parse_number`` and ``zones_of`` at the cost of one.

    Raises:
        ValueError: as ``parse_number``.
    """
    e164, number, kind = _read(text, region)
    return e164, _zones(number, kind)


def zones_of(number: str) -> tuple[str, ...]:
    """Every IANA zone a number may be in, by its prefix; empty: nothing is known.

    A mobile number may have been taken elsewhere: this says where it was given out. A toll-free
    one may be anywhere in its country.

    Args:
        number: E.164.
    """
    try:
        _, parsed, kind = _read(number, None)
    except ValueError:
        return ()
    return _zones(parsed, kind)


def is_zone(name: str) -> bool:
    """Whether it is the IANA name of a zone, in its exact spelling."""
    return name in zone_names()


@cache
def zone_names() -> frozenset[str]:
    """The IANA names this machine knows; read once."""
    return frozenset(available_timezones() - _NO_PLACE)


def is_region(name: str) -> bool:
    """Whether numbers of this region (ISO 3166-1 alpha-2, capitals) can be read."""
    return name in SUPPORTED_REGIONS


def _read(text: str, region: str | None) -> tuple[str, PhoneNumber, int]:
    """E.164, what the library makes of it, and its ``PhoneNumberType``, which is known."""
    text = text.strip()
    plain = _plain(text, region)
    if plain is None:
        number = _parse(text, region)
        e164 = format_number(number, PhoneNumberFormat.E164)
    else:
        e164, number = plain
    kind = _kind(number)
    # "Valid" to the library is whatever has a known type.
    if kind == PhoneNumberType.UNKNOWN:
        raise ValueError(f"is not a number that exists in country code +{number.country_code}")
    return e164, number, kind


def _kind(number: PhoneNumber) -> int:
    """As ``number_type``, which takes half of the time in which a row is read.

    It finds out the number's region first, which for the main one of a shared country code (+1,
    +44) is to find out the type. Behind a region that goes by leading digits its own way is taken.
    """
    regions = COUNTRY_CODE_TO_REGION_CODE.get(number.country_code or 0, ())
    if regions and _goes_by_type(regions[0]):
        national = national_significant_number(number)
        for matches, kind in _patterns(regions[0], len(national)):
            if matches(national):
                return kind
        if len(regions) == 1:
            return PhoneNumberType.UNKNOWN
    found: int = number_type(number)
    return found


@cache
def _goes_by_type(region: str) -> bool:
    """Whether a number of a main region is whatever has a type there."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    return metadata is not None and metadata.leading_digits is None


@cache
def _patterns(region: str, digits: int) -> list[tuple[Callable[[str], object], int]]:
    """What tells the types of a region's numbers of so many digits, in the library's order.

    The library looks each pattern up and matches it twice, also those for other lengths.
    """
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None

    def pattern(name: str) -> str:
        described = getattr(metadata, name)
        if described is None or digits not in (described.possible_length or (digits,)):
            return ""
        written = described.national_number_pattern
        return f"(?:{written})" if written else ""

    fixed, mobile = pattern("fixed_line"), pattern("mobile")
    both = fixed and mobile and f"(?={mobile}$){fixed}"
    if metadata.same_mobile_and_fixed_line_pattern:
        both, fixed, mobile = fixed, "", ""
    tests = [(pattern(name), getattr(PhoneNumberType, name.upper())) for name in _BEFORE_LINES]
    tests.append((both, PhoneNumberType.FIXED_LINE_OR_MOBILE))
    tests.append((fixed, PhoneNumberType.FIXED_LINE))
    tests.append((mobile, PhoneNumberType.MOBILE))
    general = pattern("general_desc")
    return [
        (re.compile(f"(?={general}$){each}").fullmatch, kind)
        for each, kind in tests
        if general and each
    ]


def _parse(text: str, region: str | None) -> PhoneNumber:
    if not text:
        raise ValueError("is empty")
    if len(text) > _LONGEST:
        raise ValueError("is too long for a phone number")
    if _ROUNDED.fullmatch(text):
        raise ValueError("was rounded by a spreadsheet; format the column as text and export again")
    if _DECIMAL.fullmatch(text):
        raise ValueError("was made a decimal; format the column as text and export again")
    # The library reads letters as keys of a telephone: "030 1234567 John" becomes 030 12345675646.
    if _LETTER.search(text.removeprefix("tel:")):
        raise ValueError("has letters in it")
    try:
        number = parse(text, region)
    except NumberParseException as error:
        raise ValueError(_why(error, text, region)) from None
    if number.extension:
        raise ValueError("has an extension, which cannot be dialled")
    return number


def _why(error: NumberParseException, text: str, region: str | None) -> str:
    # From None: the library's own message may quote what it was given.
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        if region is None and "+" not in text and "\N{FULLWIDTH PLUS SIGN}" not in text:
            return "has no country code, and the source names no region"
        if region is not None and not is_region(region):
            return f"has no country code, and {region!r} is no region"
        return "has a country code that does not exist"
    if error.error_type == NumberParseException.TOO_LONG:
        return "has too many digits"
    if error.error_type == NumberParseException.NOT_A_NUMBER:
        return "is not a phone number"
    return "has too few digits"


def _plain(text: str, region: str | None) -> tuple[str, PhoneNumber] | None:
    """E.164 and number without the library's parser, if it would not change a digit of it."""
    if not _PLAIN.fullmatch(text):
        return None
    digits = text.translate(_SPACING)
    if digits[0] == "+":
        country = _country(digits)
        national = digits[1 + len(str(country)) :]
    else:
        country = _COUNTRY_OF.get(region or "", 0)
        national = digits
        # May be an international number without its plus.
        if digits.startswith(str(country)):
            return None
    # Some write the trunk prefix behind the country code, which the parser drops; and a zero that
    # belongs to the number (Italy) is kept apart from it.
    if not country or not 4 <= len(national) <= 14 or national[0] == "0":
        return None
    dialled = _dialled_before(country, region if digits[0] != "+" else None)
    if dialled is None or dialled.match(national):
        return None
    number = PhoneNumber(country_code=country, national_number=int(national))
    return f"+{country}{national}", number


def _country(digits: str) -> int:
    """The country code behind a plus; 0: there is none. No code begins another one."""
    for width in (1, 2, 3):
        code = digits[1 : 1 + width]
        if code and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            return int(code)
    return 0


@cache
def _dialled_before(country: int, region: str | None) -> re.Pattern[str] | None:
    """What may be dialled before a number, at home or on the way abroad; None: unknown.

    Args:
        country: country code.
        region: the one whose rules count; None: the country's main one, behind its code.
    """
    rules = region or COUNTRY_CODE_TO_REGION_CODE[country][0]
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country, rules)
    if metadata is None:
        return None
    found = [metadata.national_prefix_for_parsing]
    if region is not None:
        found.append(metadata.international_prefix)
    # Without any nothing is dropped: a pattern that matches nothing.
    return re.compile("|".join(f"(?:{each})" for each in found if each) or r"(?!)")


def _zones(number: PhoneNumber, kind: int) -> tuple[str, ...]:
    # As ``time_zones_for_number``, which would find out the type once more: that takes long.
    country = number.country_code or 0
    if is_number_type_geographical(kind, country):
        zones = time_zones_for_geographical_number(number)
    else:
        zones = TIMEZONE_DATA.get(str(country), ())
    return tuple(zone for zone in zones if zone != UNKNOWN_TIMEZONE)
