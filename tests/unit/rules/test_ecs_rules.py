"""`taxonomy: ecs` and `logsource`: which events a rule sees, by which names, and what is told of neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.errors import RuleErrors
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.model.place import Place
from tocsin.rules.load import load, load_rules
from tocsin.sources.decode import Decoder
from tocsin.tune.ruletests import run_cases

SPANISH = {"type": "x", "location_info": {"country_code": "ES"}}
ANY = "{category: authentication}"
PROVIDERS_FACTS = {
    "auth0": {"log_id": "1", "date": "2026-01-01T00:00:00Z"},
    "frontegg": {"frontegg_id": "1", "createdAt": "2026-01-01T00:00:00Z"},
    "ecs": {"event.id": "1", "@timestamp": "2026-01-01T00:00:00Z"},
}


def rule(selection: str, logsource: str = ANY, *, taxonomy: str = "ecs", more: str = "") -> str:
    return (
        f"title: t\nname: one\nlogsource: {logsource}\ntaxonomy: {taxonomy}\n"
        f"detection:\n    s: {selection}\n    condition: s\n{more}"
    )


def loaded(folder: Path, text: str) -> RuleSet:
    file = folder / "rule.yml"
    file.write_text(text)
    return load_rules([file])


def warnings(folder: Path, text: str) -> list[str]:
    return [f"{told.line}:{told.column}: {told.message}" for told in loaded(folder, text).warnings]


def event(ruleset: RuleSet, provider: str, record: dict[str, Any]) -> Event:
    line = json.dumps(PROVIDERS_FACTS[provider] | record).encode()
    events, bad = Decoder(ruleset.fields, provider=provider).decode_records([line], first=1, now_ms=None)
    assert not bad
    return events[0]


def sees(ruleset: RuleSet, one: Event) -> bool:
    (matcher,) = ruleset.rules[0].matchers
    if matcher.product not in ("", one.provider):
        return False
    return (matcher.codes is None or one.code in matcher.codes) and (
        matcher.matches is None or matcher.matches(one)
    )


@pytest.mark.parametrize(
    ("selection", "provider", "record", "matches"),
    [
        ("{event.outcome: failure}", "auth0", {"type": "fp"}, True),
        ("{event.outcome: failure}", "auth0", {"type": "s"}, False),
        ("{event.outcome: failure}", "auth0", {"type": "no_such_code"}, False),
        ("{event.outcome: failure}", "frontegg", {"eventKey": "login.invalid_password"}, True),
        ("{event.outcome: failure}", "frontegg", {"eventKey": "login.completed", "status": "FAILED"}, True),
        ("{event.outcome: failure}", "frontegg", {"eventKey": "magic_link.failed", "status": "ok"}, False),
        ("{event.outcome: failure}", "ecs", {"event": {"outcome": "Failure"}}, True),
        ("{event.outcome: failure}", "ecs", {"event.outcome": "success"}, False),
        ("{event.category: iam}", "ecs", {"event": {"category": ["configuration", "iam"]}}, True),
        ("{event.category: intrusion_detection}", "auth0", {"type": "limit_wc"}, True),
        ("{event.action: login}", "auth0", {"type": "FU"}, True),
        ("{event.action|startswith: mfa-}", "auth0", {"type": "gd_send_pn"}, True),
        ("{event.action|startswith: mfa-}", "auth0", {"type": "fp"}, False),
        ("{event.code: fp}", "auth0", {"type": "fp"}, True),
        ("{event.code: fp}", "ecs", {"event": {"code": "fp"}}, True),
        ("{event.code: fp}", "ecs", {"event": {"code": "fu"}}, False),
        ("{event.code: null}", "ecs", {}, True),
        ("{event.code|contains: valid}", "frontegg", {"eventKey": "login.invalid_password"}, True),
        ("{source.ip|cidr: 203.0.113.0/24}", "auth0", {"type": "x", "client_ip": "203.0.113.9"}, True),
        ("{source.ip|cidr: 203.0.113.0/24}", "frontegg", {"eventKey": "x", "ip": "203.0.113.9"}, True),
        ("{source.ip|cidr: 203.0.113.0/24}", "ecs", {"source": {"ip": "203.0.113.9"}}, True),
        ("{source.geo.country_iso_code: es}", "auth0", SPANISH, True),
        ("{user.name: null}", "auth0", {"type": "x", "user_name": ""}, True),
        ("{user.name: null}", "auth0", {"type": "x", "user_name": "ann"}, False),
        ("{user.name|exists: false}", "auth0", {"type": "x", "user_name": None}, True),
        ("{user.name|exists: true}", "frontegg", {"eventKey": "x", "user": {"email": "ann@b.c"}}, True),
        ("{user.domain: example.com}", "auth0", {"type": "x", "user_name": "Ann@example.com"}, True),
        ("{user.name|fieldref: user.email}", "auth0", {"type": "x", "user_name": "Ann@example.com"}, True),
        ("{user.name|fieldref: user.email}", "auth0", {"type": "x", "user_name": "ann"}, False),
        ("{observer.vendor: frontegg}", "frontegg", {"eventKey": "x"}, True),
        ("{observer.vendor: frontegg}", "auth0", {"type": "x"}, False),
        ("{'@timestamp|year': 2026}", "frontegg", {"eventKey": "x"}, True),
        ("{event.id: '1'}", "ecs", {}, True),
    ],
)  # fmt: skip
def test_a_rule_of_the_view_sees_events_of_every_provider(
    tmp_path: Path, selection: str, provider: str, record: dict[str, Any], *, matches: bool
) -> None:
    ruleset = loaded(tmp_path, rule(selection))

    assert sees(ruleset, event(ruleset, provider, record)) is matches


@pytest.mark.parametrize("provider", sorted(PROVIDERS_FACTS))
@pytest.mark.parametrize("product", ["auth0", "frontegg", "ecs"])
def test_with_a_product_it_sees_events_of_that_product_alone(
    tmp_path: Path, product: str, provider: str
) -> None:
    ruleset = loaded(tmp_path, rule("{event.id: '1'}", f"{{product: {product}}}"))

    assert sees(ruleset, event(ruleset, provider, {"type": "fp", "eventKey": "fp"})) is (product == provider)


@pytest.mark.parametrize(
    ("selection", "product", "codes"),
    [
        ("{event.action: mfa-deny}", "auth0", {"gd_auth_rejected"}),
        ("{event.action: mfa-deny}", "", {"gd_auth_rejected", ""}),
        ("{event.action: account-lock}", "", {"limit_wc", "lockout_policy.limit_reached", ""}),
        ("{event.action|endswith: -lock}", "frontegg", {"lockout_policy.limit_reached"}),
        ("{event.code: fp}", "auth0", {"fp"}),
        ("{event.code: fp}", "", {"fp", ""}),
        ("{event.code: fp}", "ecs", None),
        ("{event.code|contains: p}", "auth0", None),
        ("{event.action: login, event.outcome: success}", "auth0", {"s", "scoa", "sens", "sdel"}),
        ("{event.outcome: success}", "frontegg", None),
        ("{event.action: null}", "auth0", None),
        ("{event.action|neq: login}", "auth0", None),
        ("{event.action: login}", "ecs", None),
        ("{source.ip: x}", "auth0", None),
        ("{event.provider: auth0}", "", None),
    ],
)
def test_what_the_catalogue_tells_narrows_the_codes(
    tmp_path: Path, selection: str, product: str, codes: set[str] | None
) -> None:
    source = f"{{product: {product}}}" if product else ANY

    (matcher,) = loaded(tmp_path, rule(selection, source)).rules[0].matchers

    assert matcher.codes == codes


def test_a_test_that_the_code_decides_is_not_asked_again(tmp_path: Path) -> None:
    text = rule("{event.category: authentication, event.outcome: failure}", "{product: auth0}")

    (matcher,) = loaded(tmp_path, text).rules[0].matchers

    assert matcher.matches is None


def test_the_vendor_fields_that_a_rule_of_the_view_needs_are_held_by_its_events(tmp_path: Path) -> None:
    more = (
        "tocsin:\n    correlate: {type: value_count, group-by: [source.ip], timespan: 1m, "
        "condition: {field: user.name, gte: 2}}\n    alert: {context: [user_agent.original]}\n"
    )

    ruleset = loaded(tmp_path, rule("{event.outcome: failure}", more=more))

    assert ruleset.fields == {
        "ip", "client_ip", "user_name", "email", "user", "username", "user_agent", "userAgent",
        "status", "severity",
    }  # fmt: skip
    assert ruleset.rules[0].rule.group_by == ("source.ip",)


def test_a_filter_of_the_view_narrows_rules_that_use_the_vendors_names(tmp_path: Path) -> None:
    text = (
        "title: t\nname: one\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        "---\ntitle: our offices\nlogsource: {category: authentication}\ntaxonomy: ecs\n"
        "filter: {rules: any, office: {source.ip|cidr: 192.0.2.0/24}, condition: not office}\n"
    )
    ruleset = loaded(tmp_path, text)

    assert ruleset.warnings == ()
    assert sees(ruleset, event(ruleset, "auth0", {"type": "fp", "ip": "203.0.113.9"}))
    assert not sees(ruleset, event(ruleset, "auth0", {"type": "fp", "ip": "192.0.2.7"}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            rule("{source.ipp: x}"),
            ['6:9: "source.ipp" is no field of the normalised view; did you mean "source.ip"?'],
        ),
        (
            rule("{host.uptime: 7}"),
            [
                (
                    '6:9: "host.uptime" is no field of the normalised view, so only an ECS document '
                    "could hold it; without taxonomy: ecs a rule reads the vendor's own fields"
                )
            ],
        ),
        (rule("{host.uptime: 7}", "{product: ecs}"), []),
        (
            rule("{event.outcome: failed}"),
            ['6:24: no event has the event.outcome "failed"; did you mean "failure"?'],
        ),
        (
            rule("{event.category: logins}"),
            [
                (
                    '6:25: no event has the event.category "logins"; known are api, authentication, '
                    "configuration, database, driver, email, file, host, iam, intrusion_detection, library, "
                    "malware, network, package, process, registry, session, threat, vulnerability, web"
                )
            ],
        ),
        (rule("{event.action: logn}"), ['6:23: no event has the event.action "logn"; did you mean "login"?']),
        (rule("{event.action: 4q}"), []),
        (
            rule("{event.action: 4q}", "{product: frontegg}"),
            [
                "1:1: no event can match: no event code is all that is asked of it",
                (
                    '6:23: no event has the event.action "4q"; `tocsin events` shows them; the vendor\'s own '
                    "codes are event.code"
                ),
            ],
        ),
        (
            rule("{event.code: fpp}", "{product: auth0}"),
            ['6:21: unknown auth0 event code "fpp"; did you mean "fp"?'],
        ),
        (rule("{event.outcome: [success, null, 'fail*']}"), []),
        (
            rule("{user.name: ''}"),
            ["6:20: the normalised view holds no empty text, so this never matches; write null for missing"],
        ),
        (
            rule(
                "{event.action: login}",
                more="tocsin:\n    alert:\n        key: [source.ip]\n        context: [user.nam]\n",
            ),
            ['11:19: "user.nam" is no field of the normalised view; did you mean "user.name"?'],
        ),
    ],
)
def test_what_the_view_never_holds_is_told_with_the_nearest_thing(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    assert warnings(tmp_path, text) == told


OWN = "{u: x}"
CATEGORY = (
    "the rule sees no event: a category names no product; write logsource.product, or, for events of any "
    "product, taxonomy: ecs and the names of its fields"
)
SERVICE = "the rule sees no event: a service is part of a product; write logsource.product"


@pytest.mark.parametrize(
    ("text", "told", "reason"),
    [
        (rule(OWN, "{product: auth0}", taxonomy="sigma"), [], ""),
        (rule(OWN, "{product: auth0, service: auth0}", taxonomy="Sigma"), [], ""),
        (rule(OWN, "{product: auth0, category: authentication}", taxonomy="sigma"), [], ""),
        (rule("{source.ip: x}", "{category: iam}"), [], ""),
        (
            rule(OWN, "{product: solaris}", taxonomy="sigma"),
            [
                (
                    '3:22: no source reads the product "solaris", so the rule sees no event; '
                    "there are auth0, ecs, frontegg"
                )
            ],
            "",
        ),
        (
            rule(OWN, "{product: auth0, service: audit}", taxonomy="sigma"),
            [
                (
                    '3:38: auth0 writes one log, so service "audit" says nothing; remove it, and select '
                    "by event code instead"
                )
            ],
            "",
        ),
        (
            rule(OWN, "{category: webserver}", taxonomy="sigma"),
            [f"3:23: {CATEGORY}"],
            'no product is named, only the category "webserver"',
        ),
        (
            rule(OWN, "{service: sshd}", taxonomy="sigma"),
            [f"3:22: {SERVICE}"],
            'no product is named, only the service "sshd"',
        ),
        (
            rule("{source.ip: x}", "{category: authentication, service: sshd}"),
            [f"3:48: {SERVICE}"],
            'no product is named, only the service "sshd"',
        ),
        (
            rule(OWN, "{product: auth0}", taxonomy="ecz"),
            [
                (
                    '4:11: unknown taxonomy "ecz", so its fields are read as the product\'s own; '
                    'did you mean "ecs"?'
                )
            ],
            "",
        ),
        (
            rule(OWN, "{product: auth0}", taxonomy="sysmon"),
            [
                (
                    '4:11: unknown taxonomy "sysmon", so its fields are read as the product\'s own; '
                    "known are ecs and sigma"
                )
            ],
            "",
        ),
    ],
)
def test_a_logsource_that_nothing_writes_to_is_told(
    tmp_path: Path, text: str, told: list[str], reason: str
) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(text)

    ruleset = load([file]).ruleset

    assert warnings(tmp_path, text) == told
    assert ruleset.not_running == ({"one": reason} if reason else {})
    assert len(ruleset.rules) == (0 if reason else 1)


class Atlas:
    """Knows two addresses."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def locate(self, address: str) -> Place | None:
        self.asked.append(address)
        known = {
            "203.0.113.9": Place(40.4, -3.7, "ES", "Madrid", 64496, "Example"),
            "203.0.113.10": Place(latitude=0.0, longitude=0.0),
        }
        return known.get(address)


PLACES = {
    "source.geo.country_iso_code": "ES",
    "source.geo.city_name": "Madrid",
    "source.geo.location.lat": 40.4,
    "source.geo.location.lon": -3.7,
    "source.as.number": 64496,
    "source.as.organization.name": "Example",
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(
    ("provider", "record"),
    [
        ("auth0", {"type": "s", "ip": "203.0.113.9"}),
        ("frontegg", {"eventKey": "login.completed", "ip": "203.0.113.9"}),
        ("ecs", {"source": {"ip": "203.0.113.9"}}),
    ],
)
def test_a_database_of_places_says_what_the_record_does_not(
    tmp_path: Path, name: str, provider: str, record: dict[str, Any]
) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(
        rule(
            f"{{{name}: '{PLACES[name]}'}}", more=f"tocsin: {{alert: {{key: [{name}], context: [{name}]}}}}\n"
        )
    )
    ruleset = load_rules([file], locator=Atlas())
    one = event(ruleset, provider, record)

    assert sees(ruleset, one)
    assert ruleset.rules[0].context[0](one) == ruleset.rules[0].group[0](one) == PLACES[name]
    assert not sees(ruleset, event(ruleset, provider, {"type": "s", "ip": "198.51.100.1"}))


def test_the_records_own_place_is_believed_before_a_database(tmp_path: Path) -> None:
    atlas = Atlas()
    file = tmp_path / "rule.yml"
    file.write_text(rule("{source.geo.country_iso_code: PT}"))
    ruleset = load_rules([file], locator=atlas)
    record = {"type": "s", "ip": "203.0.113.9", "location_info": {"country_code": "PT"}}

    assert sees(ruleset, event(ruleset, "auth0", record))
    assert atlas.asked == []


def test_a_place_on_the_equator_is_one_and_an_empty_country_is_none(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(rule("{source.geo.location.lat: 0, source.geo.country_iso_code: null}"))
    ruleset = load_rules([file], locator=Atlas())

    assert sees(ruleset, event(ruleset, "auth0", {"type": "s", "ip": "203.0.113.10"}))


def test_without_an_address_nothing_is_asked(tmp_path: Path) -> None:
    atlas = Atlas()
    file = tmp_path / "rule.yml"
    file.write_text(rule("{source.as.number|exists: true}"))
    ruleset = load_rules([file], locator=atlas)

    assert not sees(ruleset, event(ruleset, "auth0", {"type": "s", "ip": ""}))
    assert atlas.asked == []


@pytest.mark.parametrize(
    "text",
    [
        rule("{tocsin.category: Login - Failure}"),
        rule("{event.outcome: failure}", more="tocsin: {category: Login - Failure}\n"),
    ],
    ids=["item", "key"],
)
def test_a_category_of_a_rule_for_any_provider_is_a_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(RuleErrors, match=r"an event category is a provider's own; write logsource\.product"):
        loaded(tmp_path, text)


@pytest.mark.parametrize("code", ["fp", "s"])
def test_a_category_of_an_ecs_rule_for_one_provider_is_that_providers(tmp_path: Path, code: str) -> None:
    ruleset = loaded(
        tmp_path,
        rule("{source.ip: 203.0.113.9, tocsin.category: Login - Failure}", "{product: auth0}"),
    )

    assert sees(ruleset, event(ruleset, "auth0", {"type": code, "ip": "203.0.113.9"})) is (code == "fp")


TOGETHER = """\
title: failed any
name: failed_any
logsource: {category: authentication}
taxonomy: ecs
detection: {s: {event.action: [login, ssh_login], event.outcome: failure}, condition: s}
---
title: ok any
name: ok_any
logsource: {category: authentication}
taxonomy: ecs
detection: {s: {event.action: [login, ssh_login], event.outcome: success}, condition: s}
---
title: many
name: many_any
correlation:
    {type: event_count, rules: [failed_any], group-by: [source.ip], timespan: 10m, condition: {gte: 3}}
---
title: then
name: then_any
level: high
correlation: {type: temporal_ordered, rules: [many_any, ok_any], group-by: [source.ip], timespan: 20m}
tocsin:
    alert: {context: [user.name, event.provider, source.geo.country_iso_code]}
    tests:
        - name: over providers
          events:
              - {at: 0s, repeat: 3, every: 10s, provider: auth0, type: fp, ip: 203.0.113.9, user_name: 'u{n}'}
              - {at: 60s, provider: frontegg, eventKey: login.completed, ip: 203.0.113.9, email: a@b.c}
          expect: [{at: 60s, group: {source.ip: 203.0.113.9}, severity: high}]
        - name: another address
          events:
              - {at: 0s, repeat: 3, every: 10s, provider: auth0, type: fp, ip: 203.0.113.9, user_name: 'u{n}'}
              - {at: 60s, event.action: login, event.outcome: success, source.ip: 203.0.113.10}
          expect: []
---
title: vendor base
name: vendor_failed
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
---
title: mixed
name: mixed
level: low
correlation:
    type: temporal
    rules: [vendor_failed, ok_any]
    group-by: [addr]
    aliases: {addr: {vendor_failed: data.ip, ok_any: source.ip}}
    timespan: 5m
tocsin:
    tests:
        - name: both vocabularies
          events:
              - {at: 0s, provider: auth0, type: fp, ip: 203.0.113.9}
              - {at: 60s, provider: ecs, event.action: login, event.outcome: success, source.ip: 203.0.113.9}
          expect: [{at: 60s, group: {addr: 203.0.113.9}}]
"""


@pytest.fixture
def together(tmp_path: Path) -> Path:
    file = tmp_path / "together.yml"
    file.write_text(TOGETHER)
    return file


def test_chains_and_correlations_count_over_providers_and_vocabularies(together: Path) -> None:
    outcomes = list(run_cases(load([together])))

    assert [outcome.mistakes for outcome in outcomes] == [()] * 3


@pytest.mark.parametrize(
    "text",
    [
        TOGETHER.split("---\ntitle: then", maxsplit=1)[0].replace("[source.ip]", "[source.ipp]"),
        TOGETHER.replace("ok_any: source.ip", "ok_any: source.ipp"),
    ],
    ids=["group-by", "alias"],
)
def test_a_correlation_of_ecs_rules_is_told_of_names_that_the_view_does_not_have(
    together: Path, text: str
) -> None:
    together.write_text(text)

    (warning,) = load([together]).ruleset.warnings

    told = '"source.ipp" is no field of the normalised view; did you mean "source.ip"?'
    assert warning.message == told
    assert text.splitlines()[warning.line - 1][warning.column - 1 :].startswith("source.ipp")
