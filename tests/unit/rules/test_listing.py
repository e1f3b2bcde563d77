"""What a rule is in one line, and what a set of rules covers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.rules.load import load
from tocsin.rules.tools.coverage import coverage_of
from tocsin.rules.tools.listing import Line, line_of
from tocsin.rules.tools.techniques import TECHNIQUES

RULE = "title: {name}\nname: {name}\nlogsource: {{product: {product}}}\ntags: [{tags}]\n"
RULE += "detection: {{s: {detection}, condition: s}}\n---\n"


def _rule(detection: str, *, name: str = "one", product: str = "auth0", tags: str = "") -> str:
    return RULE.format(name=name, product=product, tags=tags, detection=detection)


def _line(tmp_path: Path, text: str) -> Line:
    file = tmp_path / "rule.yml"
    file.write_text(text)
    return line_of(load([file]).made[0])


@pytest.mark.parametrize(
    ("detection", "codes", "filters"),
    [
        ("{data.type: [fu, FP]}", ("fp", "fu"), ("auth.login.fail",)),
        ("{data.type: limit_wc}", ("limit_wc",), ("system.notification",)),
        ("{data.type: pwd_leak}", ("pwd_leak",), ("other",)),
        ("{data.type: du}", ("du",), ("(no filter)",)),
        ("{data.type: made_up}", ("made_up",), ()),
        ("{data.ip: 192.0.2.1}", None, None),
    ],
)
def test_a_line_names_the_codes_and_the_stream_filters_a_rule_needs(
    tmp_path: Path, detection: str, codes: tuple[str, ...] | None, filters: tuple[str, ...] | None
) -> None:
    line = _line(tmp_path, _rule(detection))

    assert (line.codes, line.stream_filters) == (codes, filters)


def test_a_provider_without_stream_filters_needs_none(tmp_path: Path) -> None:
    line = _line(tmp_path, _rule("{eventKey: login.completed}", product="frontegg"))

    assert (line.codes, line.stream_filters) == (("login.completed",), ())


def test_techniques_are_told_from_the_other_tags(tmp_path: Path) -> None:
    tags = "attack.credential-access, attack.t1110.003, attack.T1078, cve.2020-1, attack.ta0006"

    assert _line(tmp_path, _rule("{data.type: fp}", tags=tags)).techniques == ("T1110.003", "T1078")


def test_a_category_lists_the_codes_it_covers_and_those_it_does_not(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(
        _rule("{data.type: fs}", name="a", tags="attack.t1136")
        + _rule("{data.type: [sapi]}", name="b", tags="attack.t1136")
        + _rule("{data.ip: x}", name="c")
        + _rule("{data.ip|re: 'a(?!b)', data.type: ss}", name="stopped", tags="attack.t1000")
    )

    found = coverage_of(load([file]).made)

    headed = {category.category: (category.covered, category.uncovered) for category in found.categories}
    assert [(one.technique, one.rules) for one in found.techniques if one.rules] == [("T1136", ("a", "b"))]
    assert {one.technique for one in found.techniques} == {*TECHNIQUES, "T1136"}
    assert headed["Signup - Failure"] == (("fs",), ())
    assert headed["Signup - Success"] == ((), ("ss",))
    assert headed["Management API - Success"] == (("sapi",), ("mgmt_api_read",))
    assert {category.provider for category in found.categories} == {"auth0"}
    assert found.any_code == ("c",)


ANY = "title: any\nname: any\nlogsource: {{category: authentication}}\ntaxonomy: ecs\n"
ANY += "detection: {{s: {}, condition: s}}\n"


@pytest.mark.parametrize(
    ("detection", "codes", "filters"),
    [
        (
            "{event.action: account-lock}",
            ("limit_wc", "lockout_policy.limit_reached"),
            ("system.notification",),
        ),
        ("{event.action: mfa-deny}", ("gd_auth_rejected",), ("other",)),
        ("{event.action: sso-login}", ("tenant_sso.completed",), ()),
        ("{event.code: [fp, made_up]}", ("fp", "made_up"), ("auth.login.fail",)),
        ("{event.outcome: failure}", None, None),
    ],
)
def test_a_rule_of_any_provider_needs_codes_of_each(
    tmp_path: Path, detection: str, codes: tuple[str, ...] | None, filters: tuple[str, ...] | None
) -> None:
    line = _line(tmp_path, ANY.format(detection))

    assert (line.codes, line.stream_filters) == (codes, filters)


def test_a_rule_of_any_provider_covers_the_codes_of_each(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(ANY.format("{event.action: account-lock}"))

    found = coverage_of(load([file]).made)

    covered = {(one.provider, code) for one in found.categories for code in one.covered}
    assert covered == {("auth0", "limit_wc"), ("frontegg", "lockout_policy.limit_reached")}


def test_a_rule_of_any_provider_that_reads_any_code_covers_none(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(ANY.format("{event.outcome: failure}"))

    found = coverage_of(load([file]).made)

    assert found.categories == ()
    assert found.any_code == ("any",)
