"""Bytes become events, or a reason why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tocsin.catalog.ecs import flattened
from tocsin.clock import iso
from tocsin.errors import ConfigError
from tocsin.model.event import as_text, attribute
from tocsin.sources.decode import Decoder
from tocsin.sources.limits import MAX_QUARANTINED, MAX_STRING

DATA = Path(__file__).parents[2] / "data"
SAMPLES = sorted((DATA / "auth0").glob("*.json"))
WHEN = "2025-03-01T00:00:00.123Z"
LOG_ID = "90020221124231024915274964892613219266671587159978278962"
GOOD = {
    "log_id": LOG_ID,
    "date": "2022-11-24T23:10:23.560Z",
    "type": "fp",
    "ip": "2001:db8::1",
    "details": {},
}


def line(**changes):
    return json.dumps({**GOOD, **changes}).encode()


def without(*names):
    return json.dumps({name: value for name, value in GOOD.items() if name not in names}).encode()


def one(record, *, now_ms=None, **options):
    """The one event of a body."""
    events, bad = Decoder(["ip"], **options).decode_body(record, now_ms=now_ms)
    assert bad == []
    [event] = events
    return event


def reason(record, *, now_ms=None):
    """Why a body became no event."""
    events, bad = Decoder(["ip"]).decode_body(record, now_ms=now_ms)
    assert events == []
    [quarantined] = bad
    return quarantined.reason


def facts(event):
    return event.id, event.time_ms, event.provider, event.tenant, event.code


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_record_decodes(sample):
    record = json.loads(sample.read_bytes())

    event = one(sample.read_bytes())

    inner = record["data"] if "type" not in record else record
    assert event.code == inner["type"]
    assert event.id == record.get("log_id") or record.get("_id") or inner.get("log_id") or event.id
    assert iso(event.time_ms) == inner["date"]
    assert event.v_ip == inner.get("ip")
    assert event.fields == inner


def test_there_are_82_samples():
    assert len(SAMPLES) == 82


def test_an_event_says_who_when_and_what():
    event = one(line(tenant_name="acme"))

    assert facts(event) == (LOG_ID, 1669331423560, "auth0", "acme", "fp")
    assert event.v_ip == "2001:db8::1"
    assert event.raw == line(tenant_name="acme")


@pytest.mark.parametrize(
    "name", ["webhook_JSONARRAY.json", "webhook_JSONLINES.ndjson", "webhook_JSONOBJECT.json"]
)
def test_every_framing_of_a_log_stream_gives_the_same_first_event(name):
    events, bad = Decoder(["ip"]).decode_body((DATA / "envelopes" / name).read_bytes(), now_ms=None)

    assert bad == []
    assert facts(events[0]) == (LOG_ID, 1669331423560, "auth0", "default", "fp")
    assert events[0].v_ip == "2001:db8:87:cf49::9311"
    assert events[0].fields["details"]["error"]["message"] == "Wrong email or password."


@pytest.mark.parametrize(
    "envelope",
    [
        lambda item: item,
        lambda item: {"id": "1", "detail-type": "Auth0 log", "time": "2022-11-24T23:10:35Z", "detail": item},
        lambda item: {"topic": "t", "id": "1", "eventTime": "2022-11-24T23:10:35Z", "data": item},
        lambda item: {"time": 1669331430, "sourcetype": "auth0", "event": item},
    ],
    ids=["log stream", "EventBridge", "Event Grid", "Splunk"],
)
def test_a_record_is_the_same_in_every_envelope(envelope):
    event = one(json.dumps(envelope({"log_id": LOG_ID, "data": GOOD})).encode())

    assert facts(event) == facts(one(line()))
    assert event.v_ip == GOOD["ip"]
    assert event.fields == GOOD


def test_the_preview_of_eventbridge_decodes_without_an_id():
    event = one((DATA / "envelopes" / "eventbridge_dashboard_preview.json").read_bytes())

    assert event.code == "sapi"
    assert event.id.startswith("sha256:")
    assert iso(event.time_ms) == "2020-01-29T17:26:50.193Z"


@pytest.mark.parametrize(
    ("record", "event_id"),
    [
        (line(_id="other"), LOG_ID),
        (line(log_id="", _id="5f3a"), "5f3a"),
        (line(log_id=None, _id="5f3a"), "5f3a"),
        (line(log_id=12345), "12345"),
        (json.dumps({"log_id": "outer", "data": {"type": "fp", "date": 1669331423}}).encode(), "outer"),
        (json.dumps({"data": {"log_id": "inner", "type": "fp", "date": 1669331423}}).encode(), "inner"),
    ],
)
def test_an_id_is_the_vendors_first_present_one(record, event_id):
    assert one(record).id == event_id


def test_a_record_without_an_id_gets_one_that_does_not_depend_on_key_order():
    reverse = dict(reversed(json.loads(without("log_id")).items()))

    first, again = one(without("log_id")), one(json.dumps({"data": reverse}).encode())

    assert first.id == again.id
    assert first.id != one(line(log_id="", ip="192.0.2.1")).id


@pytest.mark.parametrize(
    ("options", "record", "tenant"),
    [
        ({}, line(tenant_name="acme"), "acme"),
        ({"tenant": "ours"}, line(tenant_name="acme"), "ours"),
        ({"tenant": "ours"}, line(tenant_name=[]), "ours"),
        ({}, line(), "default"),
        ({}, line(tenant_name=None), "default"),
        ({}, line(tenant_name=""), "default"),
        ({"default_tenant": "home"}, line(), "home"),
    ],
)
def test_the_tenant_is_the_sources_else_the_records_else_the_default(options, record, tenant):
    assert one(record, **options).tenant == tenant


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (line(type="never_seen_before"), "never_seen_before"),
        (line(type=None), ""),
        (without("type"), ""),
        (line(type=4625), "4625"),
    ],
)
def test_any_code_is_accepted(record, code):
    assert one(record).code == code


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2025-03-01T00:00:00.123Z", "2025-03-01T00:00:00.123Z"),
        ("2025-03-01T00:00:00Z", "2025-03-01T00:00:00.000Z"),
        ("2025-03-01T00:00:00.123456789Z", "2025-03-01T00:00:00.123Z"),
        ("2025-03-01T00:00:00.5Z", "2025-03-01T00:00:00.500Z"),
        ("2025-03-01T02:00:00.123+02:00", "2025-03-01T00:00:00.123Z"),
        ("2025-02-28T18:30:00-0530", "2025-03-01T00:00:00.000Z"),
        ("2025-03-01t00:00:00z", "2025-03-01T00:00:00.000Z"),
        ("2025-03-01 00:00:00.123456789", "2025-03-01T00:00:00.123Z"),
        ("2025-03-01 00:00:00.123 UTC", "2025-03-01T00:00:00.123Z"),
        ("2016-12-31T23:59:60.250Z", "2017-01-01T00:00:00.250Z"),
        (1740787200, "2025-03-01T00:00:00.000Z"),
        (1740787200.25, "2025-03-01T00:00:00.250Z"),
        (1740787200123, "2025-03-01T00:00:00.123Z"),
        ({"$date": "2025-03-01T00:00:00.123Z"}, "2025-03-01T00:00:00.123Z"),
        ({"$date": 1740787200123}, "2025-03-01T00:00:00.123Z"),
        ({"$date": {"$numberLong": "1740787200123"}}, "2025-03-01T00:00:00.123Z"),
        (None, "2022-11-24T23:10:24.915Z"),
        ("", "2022-11-24T23:10:24.915Z"),
    ],
    ids=str,
)
def test_a_date_is_read_in_every_form(date, expected):
    assert iso(one(line(date=date)).time_ms) == expected


def test_an_absent_date_falls_back_to_the_time_in_the_log_id():
    assert iso(one(without("date")).time_ms) == "2022-11-24T23:10:24.915Z"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"{", "not JSON"),
        (b"\x00\xff", "not JSON"),
        (line()[:-5], "not JSON"),
        (line(ip=float("nan")), "NaN or Infinity"),
        (line(ip=[float("-inf")]), "NaN or Infinity"),
        (line(ip="\ud800"), "lone surrogate"),
        (line(details={"unread": "a\udc00b"}), "lone surrogate"),
        (line(details="@").replace(b"@", b"\xff"), "not UTF-8"),
        (line(details="@").replace(b"@", b"\xed\xa0\x80"), "not UTF-8"),
        (b"17", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"[[]]", "not an object"),
        (line(details="x" * 5_000_000), "larger than 1 MiB"),
        (line(details="@").replace(b'"@"', b"[" * 40 + b"]" * 40), "nested deeper than 32 levels"),
        (line(details="@").replace(b'"@"', b"[" * 900 + b"]" * 900), "nested deeper than 32 levels"),
        (
            line(details="@").replace(b'"@"', b'{"a":' * 99_999 + b"1" + b"}" * 99_999),
            "nested deeper than 32 levels",
        ),
        (line(details={f"k{n}": n for n in range(1_001)}), "more than 1,000 keys in one object"),
        (line(details={"k" * 70_000: 1}), "key longer than 64 KiB"),
        (line(ip="@").replace(b'"@"', b"9" * 5_000), "number out of range"),
        (line(details="@").replace(b'"@"', b"9" * 5_000), "number out of range"),
        (line(log_id=["x"]), "log_id is not text"),
        (line(log_id="9" * 600), "id longer than 512 characters"),
        (line(type={}), "type is not text"),
        (line(type=True), "type is not text"),
        (line(tenant_name={}), "tenant_name is not text"),
        (without("date", "log_id"), "no time"),
        (line(date=None, log_id="5f3a5f3a5f3a5f3a5f3a5f3a"), "no time"),
        (line(date=None, log_id="900" + "99999999999999999" + "0" * 36), "no time"),
        (line(date="yesterday"), "time not understood"),
        (line(date="2025-13-01T00:00:00.000Z"), "time not understood"),
        (line(date="2025-03-01T00:00:00.000+99:00"), "time not understood"),
        (line(date=True), "time not understood"),
        (line(date=[1]), "time not understood"),
        (line(date={"$date": None}), "time not understood"),
        (line(date={"$date": {"$numberLong": "x"}}), "time not understood"),
        (line(date="9999-12-31T23:59:59.999Z"), "year out of range (1970 to 2199)"),
        (line(date="0000-01-01T00:00:00.000Z"), "year out of range (1970 to 2199)"),
        (line(date="1969-12-31T23:59:59.999Z"), "year out of range (1970 to 2199)"),
        (line(date=-1), "year out of range (1970 to 2199)"),
        (line(date=1e300), "year out of range (1970 to 2199)"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:40]),
)
def test_a_bad_record_is_quarantined_with_its_reason(record, why):
    assert reason(record) == why


def test_a_record_from_the_future_is_quarantined_where_there_is_a_now():
    now_ms = one(line()).time_ms - 300_000

    assert one(line(), now_ms=now_ms).id == LOG_ID
    assert reason(line(), now_ms=now_ms - 1) == "more than 5 min in the future"
    assert reason(without("date"), now_ms=now_ms - 60_000) == "more than 5 min in the future"
    assert one(line(date="2150-01-01T00:00:00.000Z"), now_ms=None).time_ms == 5680281600000


def test_a_long_string_is_cut_and_marked_so_that_it_hides_nothing():
    event = one(line(user_name="x" * 70_000, details={"list": ["y" * 70_000]}))

    assert event.fields["user_name"] == "x" * MAX_STRING + "…[cut: 70,000 characters]"
    assert len(event.fields["details"]["list"][0]) < 70_000
    assert event.id == LOG_ID


def test_a_long_record_inside_the_limits_is_an_event():
    record = line(details={f"k{n}": "v" * 50 for n in range(1_000)})

    event = one(record)

    assert len(event.fields["details"]) == 1_000
    assert event.raw == record


def test_a_number_too_large_for_a_float_stays_text():
    event = one(line(details="@").replace(b'"@"', b"[1e999,-1e999,1.5]"))

    assert event.fields["details"] == ["1e999", "-1e999", 1.5]


def test_good_lines_beside_bad_ones_are_kept_and_the_bad_say_where_they_stood():
    chunk = b"\n".join(
        [line(log_id="a"), b"", b"  \r", b"garbage", line(log_id="b"), line(type=[]), b"{", line()]
    )

    events, bad = Decoder([]).decode_lines(chunk, first_line=11, now_ms=None)

    assert [event.id for event in events] == ["a", "b", LOG_ID]
    assert [(q.line, q.reason) for q in bad] == [(14, "not JSON"), (16, "type is not text"), (17, "not JSON")]
    assert bad[0].raw == b"garbage"


@pytest.mark.parametrize(
    "broken",
    [
        b'{"x":NaN}',
        b'{"x":"\\ud800"}',
        b'{"x":"a,]}[{\\""; }',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"x":"\xff"}',
        b"7",
        b"nonsense",
    ],
    ids=lambda value: repr(value[:20]),
)
def test_good_elements_of_an_array_beside_a_bad_one_are_kept(broken):
    body = b" [" + line(log_id="a") + b",\n" + broken + b", " + line(log_id="b", details=',]}["') + b" ]\n"

    events, bad = Decoder([]).decode_body(body, now_ms=None)

    assert [event.id for event in events] == ["a", "b"]
    assert [q.line for q in bad] == [2]


def test_an_array_that_breaks_off_keeps_its_whole_elements():
    events, bad = Decoder([]).decode_body(b"[" + line(log_id="a") + b"," + line()[:50], now_ms=None)

    assert [event.id for event in events] == ["a"]
    assert [q.reason for q in bad] == ["not JSON"]


@pytest.mark.parametrize("body", [b"[", b"[,,]", b"[}", b"{", b"]", b","])
def test_brackets_alone_are_one_bad_record(body):
    assert reason(body) == "not JSON"


def test_what_stands_behind_an_array_is_a_bad_record():
    events, bad = Decoder([]).decode_body(b"[" + line() + b"] garbage", now_ms=None)

    assert len(events) == 1
    assert [(q.line, q.raw) for q in bad] == [(2, b"garbage")]


def test_ndjson_with_a_broken_first_line_loses_no_other_line():
    events, bad = Decoder([]).decode_body(b"garbage\n" + line(), now_ms=None)

    assert [event.id for event in events] == [LOG_ID]
    assert [q.line for q in bad] == [1]


def test_one_broken_object_over_many_lines_is_one_bad_record():
    body = json.dumps({**GOOD, "ip": float("nan")}, indent=1).encode()

    assert reason(body) == "NaN or Infinity"


@pytest.mark.parametrize("body", [b"", b"  \n ", b"[]", b"\xef\xbb\xbf", b"\xef\xbb\xbf[ ]"])
def test_an_empty_body_has_no_events(body):
    assert Decoder([]).decode_body(body, now_ms=None) == ([], [])


def test_a_byte_order_mark_does_not_matter():
    assert one(b"\xef\xbb\xbf" + line()).id == LOG_ID


def test_a_huge_bad_record_is_kept_in_part():
    _, [quarantined] = Decoder([]).decode_body(b"x" * 100_000, now_ms=None)

    assert len(quarantined.raw) == MAX_QUARANTINED


def test_flat_and_wrapped_lines_may_be_mixed():
    wrapped = json.dumps({"log_id": "w", "data": {**GOOD, "log_id": "w"}}).encode()
    lines = [line(log_id="a"), wrapped, line(log_id="b"), wrapped]

    for order in (lines, lines[1:]):
        events, bad = Decoder(["ip"]).decode_lines(b"\n".join(order), first_line=1, now_ms=None)
        assert bad == []
        assert len(events) == len(order)
        assert {event.v_ip for event in events} == {GOOD["ip"]}


def test_vendor_keys_named_like_ours_are_not_ours():
    ours = ("id", "time_ms", "provider", "tenant", "code", "raw", "parsed")
    forged = (
        {f"tocsin/{name}": "forged" for name in ours} | dict.fromkeys(ours, "vendor") | {"tocsin/time_ms": 1}
    )

    event = one(line(**forged))

    assert facts(event) == facts(one(line()))
    assert event.fields["tenant"] == "vendor"
    assert event.parsed["ip"] == GOOD["ip"]


@pytest.mark.parametrize(
    "data", [{}, {"ip": "192.0.2.9"}, {"eventKey": "other", "frontegg_id": "2", "createdAt": WHEN}]
)
@pytest.mark.parametrize("known_by", [{"eventKey": "login.completed"}, {"action": "User logged in"}])
def test_a_frontegg_audit_with_data_of_its_own_is_no_envelope(known_by, data):
    record = {"frontegg_id": "1", "createdAt": WHEN, "ip": "192.0.2.1", "data": data} | known_by

    event = one(json.dumps(record).encode(), provider="frontegg")

    assert (event.id, event.fields["ip"], event.fields["data"]) == ("1", "192.0.2.1", data)


def test_frontegg_audit_records_have_their_own_names():
    record = {
        "frontegg_id": "evt-1",
        "createdAt": "2020-01-12 21:53:42.941",
        "tenantId": "t1",
        "email": "a@b.c",
    }

    event = one(json.dumps(record).encode(), provider="frontegg")

    assert facts(event) == ("evt-1", 1578866022941, "frontegg", "t1", "")


def test_fields_that_rules_read_are_attributes_and_absent_ones_are_none():
    events, _ = Decoder(["user_name", "$event_schema", "ip"]).decode_body(line(), now_ms=None)

    assert events[0].v_ip == GOOD["ip"]
    assert getattr(events[0], attribute("user_name")) is None
    assert getattr(events[0], attribute("$event_schema")) is None
    assert as_text(events[0].v_ip) == GOOD["ip"]


def test_an_unknown_provider_is_refused():
    with pytest.raises(ConfigError, match=r"unknown provider 'okta'; known are auth0, ecs, frontegg"):
        Decoder([], provider="okta")


@pytest.mark.parametrize(
    "document",
    [
        {"@timestamp": WHEN, "event": {"id": "e1", "code": "x"}, "organization": {"id": "acme"}},
        {"@timestamp": WHEN, "event.id": "e1", "organization.id": "acme", "data": {"not": "an envelope"}},
        {"@timestamp": WHEN, "event": {"id": "e1"}, "organization": {"id": "acme"}, "": "no code"},
        {"@timestamp": WHEN, "event": {"id": ""}, "_id": "e1", "organization.id": "acme"},
    ],
    ids=["nested", "dotted", "a key without a name", "elasticsearch's id"],
)
def test_an_ecs_document_says_who_and_when_nested_or_dotted(document):
    decoder = Decoder([], provider="ecs")
    raw = json.dumps(document).encode()

    [event], bad = decoder.decode_lines(raw + b"\n", first_line=1, now_ms=None)

    assert not bad
    assert (event.id, event.tenant, event.code, iso(event.time_ms)) == ("e1", "acme", "", WHEN)
    assert event.fields == flattened(document)


def test_an_ecs_document_without_a_time_is_quarantined_and_those_beside_it_are_not():
    lines = b'{"source":{"ip":"203.0.113.9"}}\n\n{"@timestamp":"2025-03-01T00:00:00Z"}\n'

    events, bad = Decoder([], provider="ecs").decode_lines(lines, first_line=1, now_ms=None)

    assert len(events) == 1
    assert [record.line for record in bad] == [1]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"eventKey": "login.completed", "action": "Login completed"}, "login.completed"),
        ({"action": "Invalid password used for login"}, "login.invalid_password"),
        ({"action": " lockout policy limit REACHED "}, "lockout_policy.limit_reached"),
        ({"eventKey": None, "action": "Login completed"}, "login.completed"),
        ({"eventKey": "", "action": "Login completed"}, ""),
        ({"action": "Magic link/code email sent to user"}, ""),
        ({"action": "User logged in"}, ""),
        ({"action": {"name": "Login completed"}}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_a_frontegg_audit_without_a_key_is_known_by_its_action(record, code):
    line = json.dumps({"frontegg_id": "1", "createdAt": WHEN, **record}).encode()

    [event], bad = Decoder(["eventKey"], provider="frontegg").decode_records([line], first=1, now_ms=None)

    assert not bad
    assert event.code == code
