"""Patterns of RE2's own dialect, with something in them that RE2 refuses: the rest is no mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.load import load


def _rule(tmp_path: Path, pattern: str) -> Path:
    file = tmp_path / "rule.yml"
    file.write_text(
        "title: r\nname: r\nlogsource: {product: auth0}\n"
        f"detection: {{s: {{u|re: '{pattern}'}}, condition: s}}\n"
    )
    return file


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\p{L}+(?=x)", "look-around"),
        (r"a\z(?!b)", "look-around"),
        (r"(\pL{100}){10}", "pattern too large - compile failed"),
        (r"(a)\1\P{Lu}", r"invalid escape sequence: \1"),
    ],
)
def test_the_rule_loads_and_does_not_run(tmp_path: Path, pattern: str, reason: str) -> None:
    ruleset = load([_rule(tmp_path, pattern)]).ruleset

    assert ruleset.not_running == {"r": reason}
    assert [warning.message for warning in ruleset.warnings] == [
        (
            f"RE2 does not run this pattern ({reason}), so the rule does not run; rewrite it, or name the "
            "rule in trusted_rules"
        )
    ]


def test_of_a_trusted_rule_both_engines_refusals_are_told(tmp_path: Path) -> None:
    with pytest.raises(RuleErrors) as caught:
        load([_rule(tmp_path, r"\p{L}+(?=x)")], trusted=["r"])

    assert [error.message for error in caught.value.errors] == [
        (
            "this is no regular expression: RE2 refuses it (look-around), and so does Python's re "
            r"(bad escape \p at position 0); write it for one of them"
        )
    ]
