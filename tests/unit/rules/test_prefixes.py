"""IPv6 addresses grouped and counted by their network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules import prefixes
from tocsin.rules.load import load
from tocsin.rules.prefixes import network
from tocsin.tune.ruletests import run_cases

HEAD = """title: Failed logins
name: failed
logsource: {product: auth0}
detection: {failed: {data.type: fp}, condition: failed}
tocsin:
"""


@pytest.mark.parametrize(
    ("text", "bits", "shown"),
    [
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
        ("2001:DB8::1", 48, "2001:db8::/48"),
        ("2001:db8::1", 128, "2001:db8::1/128"),
        ("::ffff:203.0.113.9", 64, "203.0.113.9"),
        ("no: address", 64, "no: address"),
        ("fe80::1%eth0", 64, "fe80::/64"),
        ("2001:db8::1" + " " * 70, 64, "2001:db8::1" + " " * 70),
    ],
)
def test_an_address_is_shown_as_its_network(text: str, bits: int, shown: str) -> None:
    assert network(text, bits) == shown


def test_long_texts_of_strangers_are_not_remembered() -> None:
    known = prefixes._network.cache_info().currsize

    network(":" * 1_000_000, 64)

    assert prefixes._network.cache_info().currsize == known


COUNTED = """
    prefixes: {data.ip: 64}
    correlate: {type: event_count, group-by: [data.ip], timespan: 10m, condition: {gte: 3}}
    tests:
        - name: three addresses of one network
          events: [{at: 0s, repeat: 3, every: 1s, type: fp, ip: '2001:db8::{n}'}]
          expect: [{at: 2s, group: {data.ip: '2001:db8::/64'}, score: 3}]
        - name: three networks
          events: [{at: 0s, repeat: 3, every: 1s, type: fp, ip: '2001:db8:0:{n}::1'}]
          expect: []
        - name: three addresses of IPv4
          events: [{at: 0s, repeat: 3, every: 1s, type: fp, ip: '203.0.113.{n}'}]
          expect: []
"""
VALUES = """
    prefixes: {data.ip: 64}
    correlate:
        {type: value_count, group-by: [data.user_name], timespan: 10m, condition: {gte: 3, field: data.ip}}
    tests:
        - name: three addresses of one network are one
          events: [{at: 0s, repeat: 3, every: 1s, type: fp, user_name: ann, ip: '2001:db8::{n}'}]
          expect: []
        - name: three networks
          events: [{at: 0s, repeat: 3, every: 1s, type: fp, user_name: ann, ip: '2001:db8:0:{n}::1'}]
          expect: [{at: 2s, score: 3}]
"""
KEYED = """
    prefixes: {data.ip: 64}
    alert: {key: [data.ip]}
    tests:
        - name: two addresses of one network are one alert
          events: [{at: 0s, repeat: 2, every: 1s, type: fp, ip: '2001:db8::{n}'}]
          expect: [{at: 0s, group: {data.ip: '2001:db8::/64'}}]
"""


CHAINED = f"""
---
title: of failures
name: of
correlation: {{type: event_count, rules: [failed], group-by: [data.ip], timespan: 10m, condition: {{gte: 3}}}}
tocsin:
{COUNTED.replace(COUNTED.strip().splitlines()[1], "")}"""


@pytest.mark.parametrize(
    "text", [COUNTED, VALUES, KEYED, CHAINED], ids=["group-by", "field", "key", "of rules"]
)
def test_a_prefix_is_of_a_field_however_it_is_spelled(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(f"{HEAD}{text}".replace("{data.ip: 64}", "{ip: 64}"))

    loaded = load([path])

    assert loaded.ruleset.warnings == ()
    assert [outcome.mistakes for outcome in run_cases(loaded)] == [()] * text.count("- name:")


@pytest.mark.parametrize("text", [COUNTED, VALUES, KEYED], ids=["group-by", "field", "key"])
def test_a_network_counts_in_place_of_its_addresses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(HEAD + text)

    outcomes = list(run_cases(load([path])))

    assert [outcome.mistakes for outcome in outcomes] == [()] * text.count("- name:")


def test_another_prefix_is_another_state(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    states = []
    for prefix in ("", "prefixes: {data.ip: 64}", "prefixes: {data.ip: 56}"):
        path.write_text(f"{HEAD}    {prefix}\n    {COUNTED.strip().splitlines()[1].strip()}\n")
        correlation = load([path]).ruleset.rules[0].correlation
        assert correlation is not None
        states.append(correlation.spec.state)

    assert len(set(states)) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prefixes: {data.ip: 129}", "6:25: an IPv6 prefix has 1 to 128 bits, not 129; write data.ip: 64"),
        ("prefixes: {data.ip: half}", "6:25: data.ip must be a number, not 'half'"),
        ("prefixes: 64", "6:15: prefixes must be a map, not '64'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(f"{HEAD}    {line}\n    alert: {{key: [data.ip]}}\n")

    with pytest.raises(RuleErrors) as caught:
        load([path])

    assert [str(error) for error in caught.value.errors] == [f"{path}:{message}"]


def test_a_prefix_that_changes_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(f"{HEAD}    prefixes: {{data.client_ip: 64}}\n    alert: {{key: [data.ip]}}\n")

    [warning] = load([path]).ruleset.warnings

    assert str(warning).endswith(
        'nothing groups by or counts "data.client_ip", so its prefix changes nothing; remove it'
    )


CHAINED = """title: Failed logins
name: failed
level: low
logsource: {{product: auth0}}
detection: {{failed: {{data.type: fp}}, condition: failed}}
---
title: Many
name: many
correlation: {{type: event_count, rules: [failed], group-by: [data.ip], timespan: 10m, condition: {{gte: 3}}}}
tocsin: {{prefixes: {{{child}}}}}
---
title: Then
name: then
correlation: {{type: temporal, rules: [many, failed], group-by: [{group}], timespan: 1h{aliases}}}
tocsin: {{prefixes: {{{parent}}}}}
"""
ALIAS = ", aliases: {who: {many: data.ip, failed: data.ip}}"


@pytest.mark.parametrize(
    ("child", "group", "parent", "message"),
    [
        ("data.ip: 64", "data.ip", "data.ip: 64", ""),
        ("data.ip: 64", "data.ip", "ip: 64", ""),
        ("", "data.ip", "data.ip: 64", ""),
        ("", "who", "who: 64", ""),
        ("data.ip: 64", "who", "who: 64", ""),
        (
            "data.ip: 64",
            "data.ip",
            "",
            (
                '"many" tells data.ip as networks of 64 bits, and "failed" as addresses, so over IPv6 they '
                "never meet; write tocsin.prefixes: {data.ip: 64}"
            ),
        ),
        (
            "data.ip: 64",
            "data.ip",
            "data.ip: 48",
            (
                '"many" tells data.ip as networks of 64 bits, and "failed" as networks of 48 bits, so over '
                "IPv6 they never meet; give both the same prefix"
            ),
        ),
        (
            "",
            "who",
            "data.ip: 64",
            (
                'nothing groups by or counts "data.ip", so its prefix changes nothing; write it of the '
                'alias "who"'
            ),
        ),
        (
            "nope: 64",
            "data.ip",
            "",
            'nothing groups by or counts "nope", so its prefix changes nothing; remove it',
        ),
    ],
)
def test_prefixes_of_a_chain_that_do_not_fit_are_told(
    tmp_path: Path, child: str, group: str, parent: str, message: str
) -> None:
    file = tmp_path / "rule.yml"
    aliases = ALIAS if group == "who" else ""
    file.write_text(CHAINED.format(child=child, group=group, parent=parent, aliases=aliases))

    assert [warning.message for warning in load([file]).ruleset.warnings] == ([message] if message else [])


def test_a_param_may_say_a_prefix(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    params = "    params: {p: {default: 48}}"
    file.write_text(f"{HEAD}{params}{COUNTED}".replace("data.ip: 64", "data.ip: $p"))

    assert load([file]).ruleset.warnings == ()
