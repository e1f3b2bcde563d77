"""Laws of decoding: nothing crashes it, all that is bad is told, nothing good is lost beside it.

The careful way is the definition; the quick way must agree with it wherever it succeeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import BadRecord
from tocsin.model.event import Event, attribute
from tocsin.sources import decode as decode_module
from tocsin.sources import envelopes
from tocsin.sources.decode import Decoder
from tocsin.sources.times import LAST_MS, Seconds

NOW_MS = 1_740_787_200_000 + 86_400_000
FIELDS = ["ip", "user_name", "user_agent"]
NEEDED = ["type", "log_id", "date", "tenant_name", "data"]  # rules may ask for what decoding itself reads
HUGE = b"x" * 1_100_000


def good(n: int, **more: object) -> dict[str, object]:
    head = {"log_id": f"900{n:053d}", "date": f"2025-03-01T{n % 24:02d}:00:00.{n % 1000:03d}Z", "type": "fp"}
    return {**head, "ip": "203.0.113.9", "user_name": "Zoë", "details": {"error": [n]}, **more}


def line(n: int, **more: object) -> bytes:
    return json.dumps(good(n, **more), ensure_ascii=n % 2 == 0).encode()


def with_unread(n: int, value: bytes) -> bytes:
    return line(n, details="@").replace(b'"@"', value)


# Twelve kinds of poison: what it must be quarantined for -> the n-th of its kind.
POISON: dict[str, Callable[[int], bytes]] = {
    "not JSON": lambda n: line(n)[: -1 - n % 100],
    "NaN or Infinity": lambda n: with_unread(n, (b"[NaN]", b"-Infinity", b'{"a":Infinity}')[n % 3]),
    "nested deeper than 32 levels": lambda n: with_unread(n, nested(33 + n % 1_500, n)),
    "lone surrogate": lambda n: with_unread(n, b'"a\\ud8%02xb"' % (n % 256)),
    "not UTF-8": lambda n: with_unread(n, b'"%c"' % (128 + n % 128)),
    "larger than 1 MiB": lambda n: with_unread(n, b'"' + HUGE + b'"'),
    "not an object": lambda n: (b"17", b'"text"', b"[1]", b"null", b"true")[n % 5],
    "type is not text": lambda n: line(n, type=({}, [n], True, 1.5)[n % 4]),
    "log_id is not text": lambda n: line(n, log_id=({"a": n}, [n], False, 0.5)[n % 4]),
    "time not understood": lambda n: line(n, date=("soon", [n], True, {}, "2025-02-30T00:00:00.000Z")[n % 5]),
    "more than 5 min in the future": lambda n: line(n, date=NOW_MS + 300_001 + n),
    "more than 1,000 keys in one object": lambda n: with_unread(
        n, json.dumps(dict.fromkeys(map(str, range(1_001 + n % 50)), 0)).encode()
    ),
}


def nested(depth: int, n: int) -> bytes:
    """A value `depth` deep, with things standing between the brackets in every third."""
    before, after = ((b"[", b"]"), (b'{"a":', b"}"), (b'[1,{},{"b":', b',"c":[]}]'))[n % 3]
    return before * depth + b"0" + after * depth


def check_poison(rounds: int) -> None:
    """One bad line among a hundred good ones, `rounds` times."""
    assert len(POISON) == 12
    block = [line(n) for n in range(100)]
    decoder = Decoder(FIELDS)
    kinds = list(POISON.items())
    for n in range(rounds):
        reason, poison = kinds[n % 12]
        at = n * 37 % 101
        bad_line = poison(n // 12)
        chunk = b"\n".join([*block[:at], bad_line, *block[at:]])

        events, bad = decoder.decode_lines(chunk, first_line=1, now_ms=NOW_MS)

        assert [(q.line, q.reason) for q in bad] == [(at + 1, reason)], bad_line[:200]
        assert [event.id[-3:] for event in events] == [f"{i:03d}" for i in range(100)]


def test_ten_thousand_poisoned_events_are_all_quarantined_and_no_good_one_is_lost():
    check_poison(10_000)


def check_poison_in_arrays(rounds: int) -> None:
    for n in range(rounds):
        _, poison = list(POISON.items())[n % 12]
        if poison is POISON["not JSON"]:
            continue  # a record that breaks off takes the brackets of its array with it
        body = b"[" + b",".join([line(1), poison(n // 12), line(2)]) + b"]"

        events, bad = Decoder(FIELDS).decode_body(body, now_ms=NOW_MS)

        assert [event.id[-1] for event in events] == ["1", "2"], poison(n // 12)[:200]
        assert [q.line for q in bad] == [2]


def test_a_poisoned_element_takes_no_good_one_of_its_array_with_it():
    check_poison_in_arrays(240)


texts = st.text(max_size=8) | st.sampled_from(
    ["", "fp", "2025-03-01T00:00:00.123Z", "2025-03-01 00:00:00", "1e999"]
)
scalars = st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=8
)
names = st.sampled_from(
    [
        "log_id",
        "_id",
        "date",
        "type",
        "tenant_name",
        "ip",
        "data",
        "detail",
        "event",
        "tocsin/id",
        "tocsin/raw",
    ]
)
changes = st.lists(st.tuples(names, values), max_size=3)
wrapping = st.sampled_from(
    [
        lambda r: r,
        lambda r: {"log_id": "outer", "data": r},
        lambda r: {"detail": {"data": r}},
        lambda r: {"data": {"data": r}, "id": 1},
        lambda r: {"data": r, "event": {"data": {"type": "decoy"}}},
        lambda r: {"data": r, "data2": r, "type": "outside"},
    ]
)


@st.composite
def odd_records(draw: st.DrawFn) -> bytes:
    """A good record with some fields replaced, perhaps doubled, perhaps wrapped."""
    record = good(draw(st.integers(0, 999)))
    replaced = draw(changes)
    if draw(st.booleans()):
        return json.dumps(draw(wrapping)({**record, **dict(replaced)})).encode()
    pairs = [*record.items(), *replaced]
    return b"{" + b",".join(json.dumps({k: v})[1:-1].encode() for k, v in pairs) + b"}"


def whole(decoder: Decoder, event: Event) -> object:
    """What an event says: our own attributes, those that rules read, and its whole record."""
    names = (*Event.__struct_fields__, *map(attribute, decoder.fields))
    facts = {name: getattr(event, name) for name in names if name != "parsed"}
    return facts | {"fields": event.fields}


def carefully(decoder: Decoder, record: bytes) -> tuple[list[object], list[str]]:
    """What the careful way makes of one record: its event or its reason."""
    try:
        return [whole(decoder, decoder._carefully(record, LAST_MS))], []
    except BadRecord as exc:
        return [], [str(exc)]


def check_ways_agree(record: bytes) -> None:
    for fields, options in ((FIELDS, {}), ([*FIELDS, *NEEDED], {}), ([*FIELDS, *NEEDED], {"tenant": "ours"})):
        check_decoder(Decoder(fields, **options), record)


def check_decoder(decoder: Decoder, record: bytes) -> None:
    events, bad = decoder.decode_records([record], first=1, now_ms=None)

    assert ([whole(decoder, event) for event in events], [q.reason for q in bad]) == carefully(
        decoder, record
    )


@settings(max_examples=400, deadline=None)
@given(odd_records())
def test_the_quick_way_says_what_the_careful_way_says(record):
    check_ways_agree(record)


@settings(max_examples=300, deadline=None)
@given(odd_records(), st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4))
def test_the_two_ways_agree_on_damaged_records_too(record, damage):
    damaged = bytearray(record.replace(b"\n", b" "))
    for at, byte in damage:
        damaged[at % len(damaged)] = byte if byte != ord("\n") else 0

    if not damaged.isspace():
        check_ways_agree(bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.lists(odd_records() | st.binary(max_size=20)).map(b"\n".join))
def test_any_bytes_give_events_and_quarantined_records_never_a_crash(body):
    for prefix in (b"", b"[", b"{\n", b'{"data":[', b"\xef\xbb\xbf"):
        events, bad = Decoder(FIELDS).decode_body(prefix + body, now_ms=NOW_MS)

        assert all(isinstance(event.fields, dict) and event.id for event in events)
        assert all(q.reason and q.line >= 1 for q in bad)


@settings(max_examples=100, deadline=None)
@given(st.lists(odd_records(), max_size=6))
def test_the_framing_of_a_body_does_not_matter(records):
    decoder = Decoder(FIELDS)
    lines = decoder.decode_body(b"\n".join(records), now_ms=None)
    array = decoder.decode_body(b"[" + b", ".join(records) + b"]", now_ms=None)

    assert [(e.id, e.time_ms, e.tenant, e.code, e.fields) for e in lines[0]] == [
        (e.id, e.time_ms, e.tenant, e.code, e.fields) for e in array[0]
    ]
    assert [(q.line, q.reason) for q in lines[1]] == [(q.line, q.reason) for q in array[1]]


# Mistakes that the laws above must find: what is broken -> how.
MISTAKES = {
    "depth is not looked at": (decode_module, "MAX_DEPTH", 10**9),
    "UTF-8 is not looked at": (decode_module, "is_utf8", lambda _text: True),
    "long records go the quick way": (decode_module, "QUICK_BYTES", 10**9),
    "the future is far away": (decode_module, "FUTURE_MS", 10**12),
    "reasons are not caught": (decode_module, "_GIVE_UP", (msgspec.DecodeError, UnicodeDecodeError)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_law_of_poison_finds_a_planted_mistake(monkeypatch, mistake):
    monkeypatch.setattr(*MISTAKES[mistake])

    with pytest.raises(Exception):  # noqa: B017 - a wrong answer or a crash: both are found
        check_poison(120)


def test_the_law_of_arrays_finds_a_planted_mistake(monkeypatch):
    monkeypatch.setattr(envelopes, "_split_broken_array", lambda body: [body])

    with pytest.raises(AssertionError):
        check_poison_in_arrays(24)


@pytest.mark.parametrize(
    ("place", "name", "wrong", "record"),
    [
        (Seconds, "__missing__", lambda _self, _head: 0, line(1)),
        (decode_module, "MILLISECONDS", dict.fromkeys(decode_module.MILLISECONDS, 7), line(1)),
        (
            decode_module,
            "unwrap",
            lambda record, _own: (record, record),
            json.dumps({"data": good(1)}).encode(),
        ),
    ],
)
def test_the_law_of_two_ways_finds_a_planted_mistake(monkeypatch, place, name, wrong, record):
    monkeypatch.setattr(place, name, wrong)

    with pytest.raises(AssertionError):
        check_ways_agree(record)
