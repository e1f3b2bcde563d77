"""`geo_velocity`: reading it, and where places come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.enrichment import open_databases
from tocsin.errors import RuleErrors
from tocsin.model.ledger import Seen
from tocsin.model.place import Place
from tocsin.rules.correlations import geo_velocity
from tocsin.rules.correlations.geography import distance_km, packed, unpacked
from tocsin.rules.correlations.members import Members
from tocsin.rules.load import load
from tocsin.tune.ruletests import run_cases

from ....mmdb import write  # noqa: TID252 - tests have no package name

HEAD = """title: Travel
name: travel
logsource: {product: auth0}
detection: {login: {data.type: s}, condition: login}
tocsin:
"""
CITY = {
    "203.0.113.0/24": {"location": {"latitude": 52.52, "longitude": 13.40}},
    "198.51.100.0/24": {"location": {"latitude": -33.87, "longitude": 151.21}},
}


def _rule(folder: Path, correlate: str, tests: str = "") -> Path:
    path = folder / "rule.yml"
    path.write_text(f"{HEAD}    correlate: {correlate}\n{tests}")
    return path


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "condition: {kmh: 900}",
            "6:16: geo_velocity needs to know where it was; write ip: data.ip, or lat and lon",
        ),
        ("lat: data.x, condition: {kmh: 900}", "6:16: lat and lon go together; write both, or only ip"),
        ("ip: '', condition: {kmh: 9}", "6:41: ip must not be empty; write a field, like data.ip"),
        ("ip: data.ip", "6:16: a correlation needs a condition, like {kmh: 1000}"),
        ("ip: data.ip, condition: {min_km: 5}", "6:61: the condition names no speed; write {kmh: 1000}"),
        ("ip: data.ip, condition: {kmh: fast}", "6:67: kmh must be a number, not 'fast'"),
        ("ip: data.ip, condition: {kmh: -1}", "6:67: kmh must be from 0 to 1000000000000000, not -1"),
        (
            "ip: data.ip, condition: {kmph: 900}",
            '6:62: unknown key "kmph" in condition; did you mean "kmh"?',
        ),
        (
            "ip: data.ip, ignore: {cidrs: [192.0.2.1/24]}, condition: {kmh: 9}",
            "6:67: cidrs: 192.0.2.1/24 has host bits set; write a network like 192.0.2.0/24",
        ),
        (
            "ip: data.ip, ignore: {asn: true}, condition: {kmh: 9}",
            '6:59: unknown key "asn" in ignore; known are cidrs, same_asn',
        ),
        (
            "ip: data.ip, timespan: 1M, condition: {kmh: 9}",
            (
                "6:60: 1M: months and years have no fixed length; write days or weeks, like 30d, "
                "or 1m for minutes"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, keys: str, message: str) -> None:
    path = _rule(tmp_path, f"{{type: geo_velocity, {keys}}}")

    with pytest.raises(RuleErrors) as caught:
        load([path])

    assert message in [str(error).removeprefix(f"{path}:") for error in caught.value.errors]


def test_without_a_database_a_rule_that_needs_one_does_not_run(tmp_path: Path) -> None:
    path = _rule(tmp_path, "{type: geo_velocity, ip: data.ip, condition: {kmh: 900}}")
    path.write_text(path.read_text().replace("product: auth0", "product: frontegg"))
    ruleset = load([path]).ruleset

    assert ruleset.not_running == {"travel": "no geo database"}
    [warning] = [str(told) for told in ruleset.warnings if "does not run" in str(told)]
    assert warning.endswith(
        "name a MaxMind-format file under geo: in the settings, or give the rule lat and lon"
    )


OWN = """    tests:
        - name: two places
          events:
              - {at: 0s, type: s, ip: 203.0.113.9, location_info: {latitude: 52.52, longitude: 13.40}}
              - {at: 60s, type: s, ip: 198.51.100.7, location_info: {latitude: -33.87, longitude: 151.21}}
          expect: [{at: 60s}]
        - name: nowhere
          events: [{at: 0s, type: s, ip: 203.0.113.9}, {at: 60s, type: s, ip: 198.51.100.7}]
          expect: []
"""


@pytest.mark.parametrize(
    ("address", "head"),
    [
        ("data.ip", HEAD),
        ("ip", HEAD),
        (
            "source.ip",
            HEAD.replace("{data.type: s}", "{event.code: s}").replace("name: t", "taxonomy: ecs\nname: t"),
        ),
    ],
    ids=["as Auth0 streams it", "flat", "ecs"],
)
def test_without_a_database_an_address_is_where_its_record_says(
    tmp_path: Path, address: str, head: str
) -> None:
    path = _rule(tmp_path, f"{{type: geo_velocity, ip: {address}, condition: {{kmh: 900}}}}", OWN)
    path.write_text(path.read_text().replace(HEAD, head))
    loaded = load([path])

    assert not loaded.ruleset.not_running
    assert loaded.ruleset.warnings == ()
    assert [outcome.mistakes for outcome in run_cases(loaded)] == [()] * 2


def test_places_come_from_the_database_and_else_from_the_record(tmp_path: Path) -> None:
    told = """    tests:
        - name: both known to the database
          events:
              - {at: 0s, type: s, ip: 203.0.113.9}
              - {at: 60s, type: s, ip: 198.51.100.7}
          expect: [{at: 60s}]
        - name: one known to the record alone
          events:
              - {at: 0s, type: s, ip: 203.0.113.9, location_info: {latitude: 0, longitude: 0}}
              - {at: 60s, type: s, ip: 192.0.2.1, location_info: {latitude: '-33.87', longitude: 151.21}}
          expect: [{at: 60s}]
        - name: the database is believed before the record
          events:
              - {at: 0s, type: s, ip: 203.0.113.9}
              - {at: 60s, type: s, ip: 203.0.113.10, location_info: {latitude: -33.87, longitude: 151.21}}
          expect: []
        - name: degrees that are none
          events:
              - {at: 0s, type: s, ip: 203.0.113.9}
              - {at: 60s, type: s, ip: 192.0.2.1, location_info: {latitude: 91, longitude: 0}}
          expect: []
"""
    path = _rule(
        tmp_path,
        "{type: geo_velocity, ip: data.ip, lat: data.location_info.latitude, "
        "lon: data.location_info.longitude, condition: {kmh: 900}}",
        told,
    )
    loaded = load([path], locator=open_databases([write(tmp_path / "city.mmdb", CITY)]))

    assert [outcome.mistakes for outcome in run_cases(loaded)] == [()] * 4


@pytest.mark.parametrize(
    "place", [Place(90, 180, asn=2**32 - 1), Place(-90, -180), Place(52.52, 13.4, asn=64496)]
)
def test_a_place_survives_packing_to_some_hundred_metres(place: Place) -> None:
    found = unpacked(packed(place))

    assert -(1 << 63) <= packed(place) < 1 << 63
    assert found.asn == place.asn
    assert distance_km(found, place) < 0.5


def test_a_user_who_is_at_thousands_of_places_at_once_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def counted(one: Place, other: Place) -> float:
        nonlocal asked
        asked += 1
        return distance_km(one, other)

    monkeypatch.setattr(geo_velocity, "distance_km", counted)
    members = Members()
    members.add(
        Seen(at_ms, n, packed(Place(n % 180 - 90, n % 360 - 180)))
        for at_ms in (0, 1_000)
        for n in range(2_000)
    )

    scored = geo_velocity._judge(100, same_asn=False)(members, 60_000, 0, 2_000)

    assert [at_ms for at_ms, _ in scored] == [0, 1_000]
    assert all(speed > 10_000 * 3_600 for _, speed in scored)
    assert asked < 10_000
