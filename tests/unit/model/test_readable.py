"""Events that were decoded for other rules say what a decoder for these rules would have said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.event import Event, attribute
from tocsin.model.readable import readable
from tocsin.sources.decode import Decoder

NAMES = ["type", "ip", "user_name", "log_id", "tenant_name", "date", "details", "data", "id", "raw", "a.b"]
RECORD = {
    "log_id": "l1",
    "type": "fp",
    "date": "2026-03-01T12:00:00.000Z",
    "ip": "203.0.113.9",
    "details": {"x": [1, None]},
    "tenant_name": "acme",
    "id": 7,
    "raw": True,
    "a.b": "c",
}
BODIES = {
    "flat": RECORD,
    "wrapped": {"log_id": "l1", "data": RECORD},
    "no id": {key: value for key, value in RECORD.items() if key != "log_id"},
    "no tenant": {key: value for key, value in RECORD.items() if key != "tenant_name"},
    "odd": {**RECORD, "ip": None, "type": 4625, "user_name": {"n": 1}},
}
fields = st.frozensets(st.sampled_from(NAMES))


def decoded(body: str, holding: frozenset[str]) -> list[Event]:
    events, bad = Decoder(holding).decode_body(json.dumps([BODIES[body]]).encode(), now_ms=None)
    assert not bad
    return events


def says(event: Event, names: frozenset[str]) -> dict[str, object]:
    ours = {name: getattr(event, name) for name in Event.__struct_fields__ if name != "parsed"}
    return ours | {attribute(name): getattr(event, attribute(name)) for name in names}


@pytest.mark.parametrize("body", BODIES)
@given(before=fields, now=fields)
def test_they_say_what_they_would_have_been_decoded_to(
    body: str, before: frozenset[str], now: frozenset[str]
) -> None:
    (made,) = readable(decoded(body, before), now)
    (direct,) = decoded(body, now)

    assert says(made, now) == says(direct, now)


def test_those_that_hold_the_fields_are_left_as_they_are() -> None:
    events = decoded("flat", frozenset({"ip", "type"}))

    assert readable(events, frozenset({"ip"})) is events
    assert readable([], frozenset({"ip"})) == []


def test_of_a_mixed_batch_only_the_others_are_made_anew() -> None:
    old, new = decoded("flat", frozenset()), decoded("flat", frozenset({"ip"}))

    found = readable([*old, *new, *old], frozenset({"ip"}))

    assert [attribute("ip") in dir(event) for event in found] == [True] * 3
    assert found[1] is new[0]
