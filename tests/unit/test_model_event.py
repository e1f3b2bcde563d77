"""An event holds what rules read, and the rest of its record on demand."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.model.event import Event, as_text, attribute, decode_json, event_type


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("fp", "fp"),
        ("", None),
        (None, None),
        (" ", " "),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (4625, "4625"),
        (1.5, "1.5"),
        (["a", 1], '["a",1]'),
        ({"a": None}, '{"a":null}'),
        ([], "[]"),
    ],
    ids=repr,
)
def test_a_value_as_text_is_none_where_it_is_missing(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b'{"type":"fp","ip":"x"}', {"type": "fp", "ip": "x"}),
        (b'{"log_id":"1","data":{"type":"fp"}}', {"type": "fp"}),
        (b'{"type":"fp","data":{"a":1}}', {"type": "fp", "data": {"a": 1}}),
        (b'{"type":null,"data":{"a":1}}', {"type": None, "data": {"a": 1}}),
        (b'{"data":[1]}', {"data": [1]}),
        (b'{"data":null}', {"data": None}),
        (b"[1]", {}),
        (b"", {}),
    ],
)
def test_fields_are_the_unwrapped_record(raw, fields):
    assert Event(raw=raw).fields == fields


def test_fields_are_decoded_once():
    event = Event(raw=b'{"type":"fp"}')

    assert event.fields is event.fields


def test_fields_take_numbers_that_no_float_holds_as_text():
    assert Event(raw=b'{"a":1e999,"b":-1e999,"c":1e3}').fields == {"a": "1e999", "b": "-1e999", "c": 1000.0}
    assert decode_json(b"[2.5]") == [2.5]


@pytest.mark.parametrize("field", ["id", "tenant", "code", "raw", "parsed", "time_ms", "provider", "fields"])
def test_a_vendor_field_named_like_ours_is_another_attribute(field):
    kind = event_type([field])

    event = msgspec.json.decode(b'{"%s":"theirs"}' % field.encode(), type=kind)

    assert getattr(event, attribute(field)) == "theirs"
    assert (event.id, event.tenant, event.code, event.raw, event.time_ms) == ("", "", "", b"", 0)


def test_every_field_has_an_attribute_of_its_own():
    fields = ["a.b", "a_b", "a b", "a-b", "ab", "a", "$a", "A", "é", "a_2e_b", "__class__", "", "1"]

    names = {attribute(field) for field in fields}

    assert len(names) == len(fields)
    assert all(name.isidentifier() for name in names)
    decoded = msgspec.json.decode(b'{"a.b":1,"a_b":2,"$a":3}', type=event_type(fields))
    assert [getattr(decoded, attribute(name)) for name in ("a.b", "a_b", "$a", "ab")] == [1, 2, 3, None]


def test_the_same_fields_are_the_same_type():
    assert event_type(["ip", "type"]) is event_type(["type", "ip", "ip"])
