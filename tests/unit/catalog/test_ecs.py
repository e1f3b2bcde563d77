"""The normalised view says what the vendor's record says, in ECS's names."""

from __future__ import annotations

import re

import pytest

from tocsin.catalog import PROVIDERS, everything
from tocsin.catalog.ecs import WORDS, domain_of, ecs_fields, ecs_view, email_of, of_code
from tocsin.model.event import Event

AT_MS = 1_736_164_800_000


def view(provider: str, record: dict, code: str = "") -> dict:
    return ecs_view(provider, code, "e1", AT_MS, record)


def test_every_code_says_what_it_is_in_the_schemas_own_words():
    for code in everything():
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code.ecs.action), code.code
        assert code.ecs.category
        assert code.ecs.type
        assert WORDS["event.category"] >= set(code.ecs.category), code.code
        assert WORDS["event.type"] >= set(code.ecs.type), code.code
        assert code.ecs.outcome in ("", *WORDS["event.outcome"])


@pytest.mark.parametrize(
    ("provider", "code", "told"),
    [
        ("auth0", "fp", ("login", "authentication", "start", "failure")),
        ("auth0", "FU", ("login", "authentication", "start", "failure")),
        ("auth0", "s", ("login", "authentication", "start", "success")),
        ("auth0", "fs", ("signup", "iam", ["user", "creation"], "failure")),
        ("auth0", "limit_wc", ("account-lock", ["authentication", "intrusion_detection"], "denied", None)),
        ("auth0", "gd_auth_rejected", ("mfa-deny", "authentication", "denied", "failure")),
        ("auth0", "zzz", (None, None, None, None)),
        ("frontegg", "login.invalid_password", ("login", "authentication", "start", "failure")),
        ("frontegg", "user.locked", ("login-refused", "authentication", "denied", "failure")),
        ("frontegg", "login.completed", ("login", "authentication", "start", "success")),
        ("ecs", "fp", (None, None, None, None)),
        ("else", "fp", (None, None, None, None)),
    ],
)
def test_the_catalogue_tells_what_a_code_is(provider, code, told):
    fields = ("event.action", "event.category", "event.type", "event.outcome")
    assert tuple(of_code(provider, code, field) for field in fields) == told


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ({}, "failure"),
        ({"status": "SUCCESS"}, "success"),
        ({"status": " ok "}, "success"),
        ({"status": "Failed", "severity": "Info"}, "failure"),
        ({"severity": "Error"}, "failure"),
        ({"severity": "Medium"}, "failure"),
        ({"status": "success", "severity": "Error"}, "success"),
        ({"status": "who knows"}, "failure"),
        ({"status": None}, "failure"),
        ({"status": ["success"]}, "failure"),
        ({"status": {"success": True}}, "failure"),
    ],
    ids=repr,
)
def test_a_frontegg_status_decides_over_the_code(record, outcome):
    assert view("frontegg", record, "login.invalid_password")["event.outcome"] == outcome


def test_a_frontegg_success_code_with_a_failed_status_is_a_failure():
    assert view("frontegg", {"status": "FAILED"}, "login.completed")["event.outcome"] == "failure"
    assert view("frontegg", {"status": "FAILED"}, "mfa.oidc.unheard_of")["event.outcome"] == "failure"


@pytest.mark.parametrize(
    ("record", "name", "value"),
    [
        ({"ip": "203.0.113.9", "client_ip": "192.0.2.1"}, "source.ip", "203.0.113.9"),
        ({"ip": "", "client_ip": "192.0.2.1"}, "source.ip", "192.0.2.1"),
        ({"ip": None}, "source.ip", None),
        ({"ip": {"a": 1}}, "source.ip", None),
        ({"ip": ["203.0.113.9", "", None, "192.0.2.1"]}, "source.ip", ["203.0.113.9", "192.0.2.1"]),
        ({"location_info": {"country_code": "ES"}}, "source.geo.country_iso_code", "ES"),
        ({"location_info.country_code": "ES"}, "source.geo.country_iso_code", "ES"),
        ({"location_info": None}, "source.geo.country_iso_code", None),
        ({"location_info": {"latitude": 0}}, "source.geo.location.lat", 0),
        ({"user_name": "ann@example.com"}, "user.name", "ann@example.com"),
        ({"user_name": "ann@example.com"}, "user.email", "ann@example.com"),
        ({"user_name": "ann@example.com"}, "user.domain", "example.com"),
        ({"user_name": "ann"}, "user.email", None),
        ({"user_name": "ann"}, "user.domain", None),
        ({"user_name": 7}, "user.email", None),
        ({"organization_id": "org_1"}, "organization.id", "org_1"),
        ({"details": {"error": {"message": "no"}}}, "error.message", "no"),
        ({"details": "text"}, "error.message", None),
    ],
    ids=repr,
)
def test_an_auth0_record_in_the_view(record, name, value):
    assert view("auth0", record, "fp").get(name) == value


@pytest.mark.parametrize(
    ("record", "name", "value"),
    [
        ({"email": "ann@example.com"}, "user.name", "ann@example.com"),
        ({"user": {"email": "ann@example.com", "id": "u1"}}, "user.name", "ann@example.com"),
        ({"user": {"email": "ann@example.com", "id": "u1"}}, "user.id", "u1"),
        ({"user": "ann@example.com"}, "user.email", "ann@example.com"),
        ({"tenantId": "t1"}, "organization.id", "t1"),
        ({"eventContext": {"tenantId": "t1", "userId": "u1"}}, "organization.id", "t1"),
        ({"eventContext": {"tenantId": "t1", "userId": "u1"}}, "user.id", "u1"),
        ({"ip": "203.0.113.9"}, "source.ip", "203.0.113.9"),
        ({"userAgent": "curl"}, "user_agent.original", "curl"),
        ({}, "observer.vendor", "Frontegg"),
        ({}, "event.code", "login.completed"),
    ],
    ids=repr,
)
def test_a_frontegg_record_in_the_view(record, name, value):
    assert view("frontegg", record, "login.completed").get(name) == value


def test_an_ecs_document_is_its_own_view_nested_or_dotted():
    nested = {"source": {"ip": "203.0.113.9", "geo": {"country_iso_code": "ES"}}, "event": {"code": "4625"}}
    dotted = {"source.ip": "203.0.113.9", "source.geo": {"country_iso_code": "ES"}, "event.code": "4625"}

    expected = {
        "source.ip": "203.0.113.9",
        "source.geo.country_iso_code": "ES",
        "event.code": "4625",
        "event.id": "e1",
        "@timestamp": "2025-01-06T12:00:00.000Z",
    }
    assert view("ecs", nested) == view("ecs", dotted) == expected


def test_an_ecs_document_keeps_several_values_as_a_list_and_what_only_it_knows():
    document = {
        "event": {"category": ["iam", "authentication"]},
        "source": {"as": {"number": 64500}},
        "x": {"y": 1},
    }

    found = view("ecs", document)

    assert found["event.category"] == ["iam", "authentication"]
    assert found["x.y"] == 1


def test_a_provider_nobody_knows_has_a_time_and_an_id():
    assert view("else", {"ip": "x"}, "fp") == {"@timestamp": "2025-01-06T12:00:00.000Z", "event.id": "e1"}


@pytest.mark.parametrize(
    ("text", "email", "domain"),
    [
        ("ann@example.com", "ann@example.com", "example.com"),
        ("ann@a@b", None, None),
        ("@example.com", None, None),
        ("ann@", None, None),
        ("ann example@b.c", None, None),
        ("", None, None),
        (None, None, None),
        (7, None, None),
    ],
)
def test_what_is_written_like_an_email_address(text, email, domain):
    assert email_of(text) == email
    assert domain_of(email_of(text)) == domain


def test_an_event_shows_its_view_on_demand():
    event = Event(id="1", time_ms=AT_MS, provider="auth0", code="fp", raw=b'{"type":"fp","ip":"203.0.113.9"}')

    assert event.ecs == {
        "@timestamp": "2025-01-06T12:00:00.000Z",
        "event.action": "login",
        "event.category": "authentication",
        "event.code": "fp",
        "event.id": "1",
        "event.kind": "event",
        "event.module": "auth0",
        "event.outcome": "failure",
        "event.provider": "auth0",
        "event.type": "start",
        "observer.product": "auth0",
        "observer.vendor": "Auth0",
        "source.ip": "203.0.113.9",
    }


def test_the_fields_of_the_view_are_known_by_name():
    assert {"source.ip", "event.outcome", "user.domain", "source.as.number"} <= ecs_fields()
    assert {name for provider in PROVIDERS.values() for name in provider.ecs} <= ecs_fields()
