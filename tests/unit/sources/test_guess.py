"""A file tells by its first records whose they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.catalog.provider import provider_of
from tocsin.sources.decode import Decoder
from tocsin.sources.file import FileSource
from tocsin.sources.guess import GuessingDecoder

WHEN = "2025-03-01T00:00:00.123Z"
AUTH0 = {"log_id": "1", "date": WHEN, "type": "fp"}
FRONTEGG = {"frontegg_id": "1", "createdAt": WHEN, "eventKey": "login.completed"}
DOCUMENT = {"@timestamp": WHEN, "event": {"id": "1"}}
DATA = Path(__file__).parents[2] / "data"


def guessing() -> GuessingDecoder:
    return GuessingDecoder(lambda provider: Decoder([], provider=provider))


def lines(*records: Any) -> list[bytes]:
    return [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]


@pytest.mark.parametrize(
    ("record", "provider"),
    [
        (AUTH0, "auth0"),
        ({"log_id": "1", "data": AUTH0}, "auth0"),
        ({"data": AUTH0}, "auth0"),
        ({"detail-type": "Auth0 log", "detail": {"log_id": "1", "data": AUTH0}}, "auth0"),
        ({"@timestamp": WHEN, **AUTH0}, "auth0"),
        (FRONTEGG, "frontegg"),
        ({"createdAt": WHEN, "action": "User logged in"}, "frontegg"),
        (DOCUMENT, "ecs"),
    ],
    ids=[
        "record", "item", "item without an id", "EventBridge", "record beside a shipper's time", "record",
        "record without a code", "document",
    ],
)  # fmt: skip
def test_the_first_record_tells_whose_the_file_is(record: dict[str, Any], provider: str) -> None:
    events, bad = guessing().decode_records(lines(record), first=1, now_ms=None)

    assert not bad
    assert [event.provider for event in events] == [provider]


def test_what_tells_nothing_is_told_as_wrong_and_the_next_record_is_asked() -> None:
    decoder = guessing()

    first = decoder.decode_records(lines(b"not json", {"x": 1}), first=1, now_ms=None)
    second = decoder.decode_records(lines(b"[1]", FRONTEGG, b"\n"), first=3, now_ms=None)
    third = decoder.decode_records(lines(AUTH0, FRONTEGG), first=6, now_ms=None)

    assert [record.line for record in first[1]] == [1, 2]
    assert [event.provider for event in second[0]] == ["frontegg"]
    assert [record.line for record in third[1]] == [6], "it was decided: the file is Frontegg's"


def test_a_body_is_guessed_like_lines() -> None:
    events, bad = guessing().decode_body(json.dumps([DOCUMENT, DOCUMENT], indent=1).encode(), now_ms=None)

    assert not bad
    assert [event.provider for event in events] == ["ecs", "ecs"]


def test_a_file_is_read_as_the_provider_that_it_tells(tmp_path: Path) -> None:
    file = tmp_path / "audits.ndjson"
    file.write_bytes(b"\n".join(lines(FRONTEGG, {**FRONTEGG, "frontegg_id": "2"})))

    [batch] = FileSource(file, guessing()).read(None)

    assert [(event.provider, event.id) for event in batch.events] == [("frontegg", "1"), ("frontegg", "2")]


@pytest.mark.parametrize("sample", sorted((DATA / "auth0").glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_of_auth0_is_known_as_one(sample: Path) -> None:
    record = json.loads(sample.read_bytes())

    assert provider_of(record.get("data", record)) == "auth0"


def test_a_record_that_tells_nothing_is_nobodys() -> None:
    assert provider_of({"ip": "203.0.113.9"}) is None
