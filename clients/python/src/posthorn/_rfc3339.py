"""RFC 3339 times as the service reads them: with a zone, of a day that exists, a leap second at 23:59:60 UTC only."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timezone

_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")
_NO_ZONE = "without a time zone, wanted an RFC 3339 time with Z or an offset such as +01:00"
_DAY_MINUTES = 24 * 60


def rfc3339_problem(text: str) -> str | None:
    """Why the text is no such time: what follows "found <text>, "; None when it is one."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return _NO_ZONE if _WITHOUT_ZONE.fullmatch(text) else "wanted an RFC 3339 time"
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    offset_hours, offset_minutes = int(match[9] or 0), int(match[10] or 0)
    if not 1 <= month <= 12 or not 1 <= day <= _days_of(year, month):
        return "no day of the calendar, wanted an RFC 3339 time"
    if hour > 23 or minute > 59 or second > 60:
        return "wanted an RFC 3339 time of day from 00:00:00 to 23:59:59"
    if offset_hours > 23 or offset_minutes > 59:
        return "wanted an RFC 3339 offset from -23:59 to +23:59"
    offset = (offset_hours * 60 + offset_minutes) * (-1 if match[8] == "-" else 1)
    minutes = hour * 60 + minute - offset
    if second == 60 and minutes % _DAY_MINUTES != _DAY_MINUTES - 1:
        return "wanted an RFC 3339 time, leap seconds at 23:59:60 UTC only"
    if second == 60:
        minutes += 1
    is_before = (year, month, day) == (0, 1, 1) and minutes < 0
    is_after = (year, month, day) == (9999, 12, 31) and minutes >= _DAY_MINUTES
    return "wanted an RFC 3339 time of the years 0000 to 9999 UTC" if is_before or is_after else None


def _days_of(year: int, month: int) -> int:
    # The calendar repeats after 400 years; the module has no year 0.
    return calendar.monthrange(year or 400, month)[1]


def to_rfc3339(time: datetime) -> str:
    """In UTC with milliseconds, as Posthorn writes times."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
