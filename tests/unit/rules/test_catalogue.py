"""The rules as a page for people."""

from __future__ import annotations

from pathlib import Path

from tocsin.rules.load import load
from tocsin.rules.tools.catalogue import markdown

ROOT = Path(__file__).parents[3]
RULE = """title: Failures
name: failed_logins
description: Somebody guesses.
status: stable
level: low
logsource: {product: auth0}
tags: [attack.t1110]
detection: {s: {type: fp}, condition: s}
falsepositives: [an office]
tocsin:
    params: {n: {default: 5, min: 2, max: 9, help: failures}}
    correlate: {type: event_count, group-by: [data.ip], timespan: 10m, condition: {gte: $n}}
    alert: {labels: {category: guessing}, severity: [{gte: 50, is: high}], runbook: 'Look.'}
"""


def _page(tmp_path: Path, *texts: str, overlay: str | None = None) -> str:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yml").write_text(text)
    site = None
    if overlay is not None:
        site = tmp_path / "overlay"
        site.write_text(overlay)
    return markdown(load([tmp_path], overlay=site).made)


def test_a_rule_is_told_whole(tmp_path: Path) -> None:
    assert _page(tmp_path, RULE) == (
        """# Rules

Generated from the rule files by `tocsin rules docs`; change those, not this page.

| rule | level | ATT&CK | category |
|---|---|---|---|
| [failed_logins](#failed_logins) | low | T1110 | guessing |

## guessing

### failed_logins

**Failures**

Somebody guesses.

- status: stable
- ATT&CK: T1110
- reads: auth0: events of fp
- counts: events within 10m for each data.ip (event_count)
- alerts: when the count is >= 5
- group: one alert for each data.ip
- severity: low; high from 50
- ends: 10m after its last trigger
- log stream: must let through auth.login.fail

| param | value | least | most | what |
|---|---|---|---|---|
| n | 5 | 2 | 9 | failures |

What to do:

```text
Look.
```

What looks like it:

- an office
"""
    )


def test_categories_come_in_order_and_what_has_none_last(tmp_path: Path) -> None:
    bare = "title: %s\nname: %s\ndetection: {s: {x: y}, condition: s}\n"
    named = bare + "tocsin: {alert: {labels: {category: a}}}\n"

    page = _page(tmp_path, bare % ("one", "one"), RULE, named % ("two", "two"))

    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## a",
        "## guessing",
        "## other",
    ]


def test_an_overlay_is_told(tmp_path: Path) -> None:
    page = _page(tmp_path, RULE, overlay="failed_logins: {params: {n: 7}, severity: critical}\n")

    assert "| n | 7 | 2 | 9 | failures |" in page
    assert "| [failed_logins](#failed_logins) | critical |" in page


def test_what_a_stranger_wrote_stays_text(tmp_path: Path) -> None:
    page = _page(
        tmp_path,
        RULE.replace("title: Failures", "title: '<script>x</script> [a](javascript:b) |*c*| `d` &lt;'")
        .replace("'Look.'", '"```\\n# not a heading"')
        .replace("an office", '"# no\\n# heading"'),
    )

    assert "**\\<script>x\\</script> \\[a\\](javascript:b) \\|\\*c\\*\\| \\`d\\` \\&lt;**" in page
    assert "````text\n```\n# not a heading\n````" in page
    assert "- \\# no # heading" in page


def test_the_committed_catalogue_is_that_of_the_shipped_rules() -> None:
    """Make it anew with `tocsin rules docs rules > docs/rules-catalogue.md`."""
    page = (ROOT / "docs" / "rules-catalogue.md").read_text(encoding="utf-8")

    assert page == markdown(load([ROOT / "rules"]).made)
