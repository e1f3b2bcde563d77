"""Where addresses are, by files in MaxMind's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.enrichment import Databases, open_databases
from tocsin.errors import ConfigError
from tocsin.model.place import Place

from ..mmdb import write  # noqa: TID252 - tests have no package name

BERLIN = {"location": {"latitude": 52.5, "longitude": 13.4}, "country": {"iso_code": "DE"},
          "city": {"names": {"en": "Berlin"}}}  # fmt: skip


def test_an_address_is_found_in_its_network(tmp_path: Path) -> None:
    city = write(tmp_path / "city.mmdb", {"203.0.113.0/24": BERLIN, "2001:db8::/32": BERLIN})
    databases = open_databases([city])

    assert databases is not None
    berlin = Place(52.5, 13.4, "DE", "Berlin")
    for address in ("203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1", "2001:db8::/64"):
        assert databases.locate(address) == berlin
    for address in ("198.51.100.1", "no address", "", "no/24"):
        assert databases.locate(address) is None


def test_long_texts_of_strangers_are_not_remembered(tmp_path: Path) -> None:
    databases = Databases([write(tmp_path / "city.mmdb", {"203.0.113.0/24": BERLIN})])

    assert databases.locate("203.0.113.9/" + "9" * 1_000_000) is None
    assert databases._known.cache_info().currsize == 0


def test_two_files_say_together_what_each_knows(tmp_path: Path) -> None:
    city = write(tmp_path / "city.mmdb", {"203.0.113.0/24": BERLIN})
    asn = write(
        tmp_path / "asn.mmdb",
        {"203.0.113.0/24": {"autonomous_system_number": 64496, "autonomous_system_organization": "Example"}},
    )
    databases = open_databases([city, asn])

    assert databases is not None
    assert databases.locate("203.0.113.9") == Place(52.5, 13.4, "DE", "Berlin", 64496, "Example")


def test_the_other_spelling_of_networks_is_read(tmp_path: Path) -> None:
    record = {"asn": "AS64496", "as_name": "X"}
    databases = open_databases([write(tmp_path / "ipinfo.mmdb", {"203.0.113.0/24": record})])

    assert databases is not None
    assert databases.locate("203.0.113.9") == Place(asn=64496, as_name="X")


@pytest.mark.parametrize(
    "record",
    [
        {"location": 7},
        {"location": {"latitude": "x", "longitude": True}},
        {"country": ["DE"]},
        {"asn": "ASx"},
    ],
    ids=["a number", "no numbers", "a list", "no network"],
)
def test_what_makes_no_sense_is_unknown(tmp_path: Path, record: dict[str, object]) -> None:
    databases = open_databases([write(tmp_path / "odd.mmdb", {"203.0.113.0/24": record})])

    assert databases is not None
    assert databases.locate("203.0.113.9") == Place()


def test_a_file_of_another_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_text("no database")

    with pytest.raises(ConfigError, match=r"geo: .*city\.mmdb: not a file in MaxMind's format"):
        open_databases([path])


def test_without_a_file_nothing_is_known() -> None:
    assert open_databases([]) is None
