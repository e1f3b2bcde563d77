"""Which providers' events the rules at work read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.rules.load import load_rules
from tocsin.rules.tools.reach import reads, unread_told

AUTH0 = "title: one\nname: one\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
OFF = "one: {enabled: false}\n"
CHAIN = (
    "---\ntitle: {0}\nname: {0}\ncorrelation:\n    type: event_count\n    rules: [{1}]\n    group-by: [ip]\n"
    "    timespan: 1m\n    condition: {{gte: 2}}\n"
)


@pytest.mark.parametrize(
    ("rules", "overlay", "read"),
    [
        (AUTH0, "", {"auth0"}),
        (AUTH0.replace("product: auth0", "product: okta"), "", set()),
        (AUTH0.replace("{product: auth0}", "{category: authentication}") + "taxonomy: ecs\n", "",
         {"auth0", "frontegg", "ecs"}),
        (AUTH0 + CHAIN.format("two", "one") + CHAIN.format("three", "two"), "", {"auth0"}),
        (AUTH0, OFF, set()),
    ],
    ids=["one of a product", "one of another's", "one of every provider's", "a chain", "one that is off"],
)  # fmt: skip
def test_a_provider_is_read_by_a_rule_of_its_own_or_of_all(
    tmp_path: Path, rules: str, overlay: str, read: set[str]
) -> None:
    (tmp_path / "rules.yml").write_text(rules)
    (tmp_path / "overlay.yml").write_text(overlay or "{}")
    ruleset = load_rules([tmp_path / "rules.yml"], overlay=tmp_path / "overlay.yml")

    assert {provider for provider in ("auth0", "frontegg", "ecs") if reads(ruleset, provider)} == read


def test_who_is_not_read_is_told_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(AUTH0)
    ruleset = load_rules([tmp_path / "rules.yml"])

    assert unread_told(ruleset, "auth0", "it") == ""
    assert unread_told(ruleset, "frontegg", "it") == (
        "no rule reads the events of it (they are frontegg's); "
        "write rules: [shipped] in the settings, or a rule of your own"
    )
    assert "[shipped, shipped/ecs]" in unread_told(ruleset, "ecs", "it")
