"""What fields are called in messages: by what they hold, whatever vocabulary names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.alerts.facts import name_of
from tocsin.rules.load import load

RULES = Path(__file__).parents[3] / "rules"


@pytest.mark.parametrize(
    ("field", "one", "several"),
    [
        ("data.user_name", "User", "User names"),
        ("data.details.request.ip", "IP address", "IP addresses"),
        ("user.name", "User", "User names"),
        ("source.user.name", "User", "User names"),
        ("source.ip", "IP address", "IP addresses"),
        ("user_agent.original", "User agent", "User agents"),
        ("event.code", "Event", "Events"),
        ("event.provider", "Provider", "Providers"),
        ("source.geo.country_iso_code", "Country", "Countries"),
        ("source.as.organization.name", "Organization", "Organizations"),
        ("userAgent", "User agent", "User agents"),
        ("eventKey", "Event", "Events"),
        ("name", "Name", "Name"),
        ("data.some_thing{}", "Some thing", "Some thing"),
    ],
)
def test_a_field_is_called_by_what_it_holds(field: str, one: str, several: str) -> None:
    assert (name_of(field), name_of(field, several=True)) == (one, several)


def test_no_two_fields_of_an_alert_for_any_provider_are_called_alike() -> None:
    for made in load([RULES / "ecs"]).made:
        fields = {*made.compiled.rule.context, *made.compiled.rule.group_by}
        names = [name_of(field) for field in fields]
        assert len(set(names)) == len(names), (made.compiled.rule.name, sorted(fields))
