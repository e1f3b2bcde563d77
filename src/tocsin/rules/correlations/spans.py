"""Reading spans of time."""

from __future__ import annotations

import re

from tocsin.rules.section import Section

LONGEST_TIMESPAN_MS = 3_650 * 86_400_000
_CALENDAR = re.compile(r"\s*\d+\s*[My]\s*")


def timespan(section: Section, key: str = "timespan", *, default_ms: int | None = None) -> int:
    """A span in milliseconds, `default_ms` where none is written; 0 after a mistake."""
    node = section.scalar(key, "a duration like 10m, 4h or 7d")
    if node is None:
        if default_ms is not None and section.lacks(key):
            return default_ms
        if section.lacks(key):
            section.problems.error(section.mark, f"a correlation needs a {key}, like 10m")
        return 0
    if _CALENDAR.fullmatch(node.text):
        told = f"{node.text}: months and years have no fixed length; write days or weeks, like 30d"
        minutes = f", or {node.text.strip().lower()} for minutes" if "M" in node.text else ""
        section.wrong(key, told + minutes)
        return 0
    before = len(section.problems.errors)
    found = section.duration_ms(key) or 0
    if len(section.problems.errors) == before and not 0 < found <= LONGEST_TIMESPAN_MS:
        section.wrong(key, f"a {key} is more than 0 and at most 3650d, not {node.text}")
    return found
