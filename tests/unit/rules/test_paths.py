"""Dotted paths: a look at the bytes of a record may spare decoding it, and never says otherwise."""

from __future__ import annotations

import pytest

from tocsin.model.event import Event
from tocsin.rules.detection.paths import path_members, path_presence

PATH = "details.place.latitude"
RECORDS = [
    b'{"details": {"place": {"latitude": 1}}}',
    b'{"details": {"place": {"latitude": null}}}',
    b'{"details": {"place": {"longitude": 1}}}',
    b'{"details": {"place": [{"latitude": 1}, {"latitude": 2}, {}]}}',
    b'{"details": {"place": [{}, {}]}}',
    b'{"details": {"place": []}}',
    b'{"details": null}',
    b"{}",
    b'{"details.place.latitude": 3}',
    b'{"details.place.latitude": null}',
    b'{"details": {"place": {"latitud\\u0065": 4}}}',
    b'{"\\u0064etails.place.latitude": 5}',
    b'{"details": {"place": {"latitude" : 6}}}',
    b'{"other": "latitude"}',
    b'{"data": {"details": {"place": {"latitude": 7}}}}',
]


def _decoded(record: bytes) -> Event:
    event = Event(raw=record)
    assert event.fields is not None
    return event


@pytest.mark.parametrize("record", RECORDS, ids=bytes.decode)
def test_what_is_read_with_a_look_is_what_is_read_without(record: bytes) -> None:
    read, present = path_members(PATH, flat=False), path_presence(PATH)

    looked, decoded = read(Event(raw=record)), read(_decoded(record))

    assert set(looked) == set(decoded)
    assert present(Event(raw=record)) == present(_decoded(record))


def test_a_record_without_the_name_is_not_decoded() -> None:
    event = Event(raw=b'{"details": {"place": "Berlin"}}')

    assert path_members(PATH, flat=False)(event) == [None]
    assert event.parsed is None


@pytest.mark.parametrize(
    ("path", "record"),
    [("details.a/b", b'{"details": {"a\\/b": 1}}'), ("details.ä", '{"details": {"ä": 1}}'.encode())],
)
def test_a_name_of_other_characters_is_always_looked_up(path: str, record: bytes) -> None:
    assert path_members(path, flat=False)(Event(raw=record)) == [1]
