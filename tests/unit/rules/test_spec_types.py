"""Section 3 of the rule language, where no other test says it: what a type does when a key is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tocsin.clock import MS, iso, to_ms
from tocsin.model.alert import ChangeKind
from tocsin.model.compiled import RuleSet
from tocsin.model.place import Place
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Batch
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay

LoadText = Callable[..., RuleSet]
START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = 3_600
DAY = 24 * HOUR


def _rule(correlate: str) -> str:
    return (
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: s}, condition: s}\n"
        f"tocsin: {{correlate: {{group-by: [data.user_id], {correlate}}}}}\n"
    )


def _opened_s(rules: RuleSet, records: Sequence[dict[str, Any]]) -> list[float]:
    """When alerts opened, in seconds after the start; records are `at` so many."""
    start_ms = to_ms(START)
    sent = [
        {"log_id": f"id{number}", "type": "s", "user_id": "u", "date": iso(start_ms + record["at"] * 1_000)}
        | record
        for number, record in enumerate(records)
    ]
    lines = b"\n".join(map(msgspec.json.encode, sent))
    events, bad = Decoder(rules.fields).decode_lines(lines, first_line=1, now_ms=None)
    assert not bad
    batch = [Batch(events, "end")]
    changes = replay(rules, batch, windows=MemoryWindows(), lateness=timedelta(seconds=60))
    return [(one.at_ms - start_ms) / 1_000 for one in changes if one.kind is ChangeKind.OPENED]


# geo_velocity -------------------------------------------------------------------------------------------


class _Atlas:
    """The places of addresses `latitude,longitude,asn`."""

    def locate(self, address: str) -> Place | None:
        latitude, longitude, asn = PLACES[address]
        return Place(latitude, longitude, asn=asn)


PLACES = {
    "192.0.2.1": (52.52, 13.4, 64_496),
    "192.0.2.2": (-33.87, 151.21, 64_496),
    "192.0.2.3": (-33.87, 151.21, 64_497),
    "198.51.100.1": (52.52, 13.4, 0),
    "198.51.100.2": (-33.87, 151.21, 0),
    "203.0.113.0": (0.0, 0.0, 0),
    "203.0.113.99": (0.0, 0.89, 0),  # 99 km to the east
    "203.0.113.101": (0.0, 0.91, 0),  # 101 km
}


def _travels(load_text: LoadText, keys: str, *addresses: str) -> bool:
    rules = load_text(_rule(f"type: geo_velocity, ip: data.ip, {keys}"), locator=_Atlas())
    return _opened_s(rules, [{"at": at, "ip": ip} for at, ip in enumerate(addresses)]) != []


@pytest.mark.parametrize(
    ("ignore", "addresses", "travels"),
    [
        ("", ("192.0.2.1", "192.0.2.2"), True),
        ("ignore: {same_asn: false}, ", ("192.0.2.1", "192.0.2.2"), True),
        ("ignore: {same_asn: true}, ", ("192.0.2.1", "192.0.2.2"), False),
        ("ignore: {same_asn: true}, ", ("192.0.2.1", "192.0.2.3"), True),
        ("ignore: {same_asn: true}, ", ("198.51.100.1", "198.51.100.2"), True),
        ("ignore: {cidrs: [192.0.2.2]}, ", ("192.0.2.1", "192.0.2.2"), False),
        ("ignore: {cidrs: [192.0.2.2]}, ", ("192.0.2.1", "192.0.2.3"), True),
    ],
)
def test_places_of_one_network_are_left_out_where_it_says_so_and_unknown_networks_are_not_one(
    load_text: LoadText, ignore: str, addresses: tuple[str, ...], travels: bool
) -> None:
    assert _travels(load_text, f"{ignore}condition: {{kmh: 900}}", *addresses) is travels


@pytest.mark.parametrize(
    ("condition", "to", "travels"),
    [
        ("{kmh: 900}", "203.0.113.99", False),
        ("{kmh: 900}", "203.0.113.101", True),
        ("{kmh: 900, min_km: 98}", "203.0.113.99", True),
        ("{kmh: 900, min_km: 102}", "203.0.113.101", False),
    ],
)
def test_below_a_hundred_kilometres_nobody_travelled_unless_told(
    load_text: LoadText, condition: str, to: str, travels: bool
) -> None:
    assert _travels(load_text, f"condition: {condition}", "203.0.113.0", to) is travels


# first_seen and spike -----------------------------------------------------------------------------------


def test_an_entity_is_learned_of_for_a_week_unless_told(load_text: LoadText) -> None:
    rules = load_text(_rule("type: first_seen, field: data.ip"))
    times = [(0, "a"), (7 * DAY - HOUR, "b"), (7 * DAY + HOUR, "c"), (8 * DAY, "b")]

    assert _opened_s(rules, [{"at": at, "ip": ip} for at, ip in times]) == [7 * DAY + HOUR]


def test_a_value_is_remembered_for_ninety_days_unless_told(load_text: LoadText) -> None:
    rules = load_text(_rule("type: first_seen, field: data.ip"))
    seldom = [(0, "a"), (89 * DAY, "a"), (100 * DAY, "b"), (178 * DAY, "a"), (191 * DAY, "b")]
    often = [(day * DAY, "c") for day in range(1, 192, 10)]

    found = _opened_s(rules, [{"at": at, "ip": ip} for at, ip in sorted([*seldom, *often])])

    assert found == [100 * DAY, 191 * DAY]


@pytest.mark.parametrize(
    ("bucket", "bucket_s", "method"),
    [("1h", HOUR, "ewma"), ("1h", HOUR, "same_hour_of_week"), ("1d", DAY, "ewma")],
)
def test_a_spike_looks_back_four_weeks_unless_told(
    load_text: LoadText, bucket: str, bucket_s: int, method: str
) -> None:
    text = f"type: spike, bucket: {bucket}, baseline: {{method: {method}}}, condition: {{times: 3}}"

    (rule,) = load_text(_rule(text)).rules

    assert rule.correlation
    assert rule.correlation.spec.span_ms == (28 * DAY + bucket_s) * 1_000


@pytest.mark.parametrize(
    ("days", "keys", "fires"),
    [(13, "", False), (14, "", True), (13, ", min_history: 13d", True), (10, ", history: 20d", True)],
)
def test_a_spike_waits_for_half_of_its_history_unless_told(
    load_text: LoadText, days: int, keys: str, fires: bool
) -> None:
    rules = load_text(
        _rule(f"type: spike, bucket: 1d, baseline: {{method: ewma{keys}}}, condition: {{times: 3}}")
    )
    usual = [{"at": day * DAY} for day in range(days)]
    crowd = [{"at": days * DAY + n} for n in range(50)]
    after = [{"at": (days + 1) * DAY + 120}]

    assert _opened_s(rules, [*usual, *crowd, *after]) == ([(days + 1) * DAY] if fires else [])


# The watermark ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quiet_ms", "behind_s"), [(60_000, -600), (60_001, -60)])
def test_a_source_counts_for_the_watermark_up_to_a_minute_after_its_last_event(
    quiet_ms: int, behind_s: int
) -> None:
    marks, lateness = Watermarks(START), timedelta(0)
    now = START + quiet_ms * MS
    marks.advance("slow", "acme", [to_ms(START) - 600_000], lateness, START)
    marks.drained("slow", empty=True)
    marks.advance("quick", "acme", [to_ms(START) - 60_000], lateness, now)

    assert marks.of("acme", now) == to_ms(START) + behind_s * 1_000
