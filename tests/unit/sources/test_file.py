"""A file is what its content says, and every good record in it arrives."""

from __future__ import annotations

import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest

from tocsin.errors import SourceUnavailable
from tocsin.sources.decode import Decoder
from tocsin.sources.file import FileSource, demo_records

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def record(n, **more):
    return {"log_id": f"id{n}", "date": 1740787200000 + n, "type": "fp", "details": {"n": n}, **more}


RECORDS = [record(n) for n in range(2_500)]
NDJSON = "".join(json.dumps(r) + "\n" for r in RECORDS).encode()
IDS = [r["log_id"] for r in RECORDS]


def source(path, **options):
    return FileSource(path, Decoder(["ip"]), **options)


def ids(batches):
    return [event.id for batch in batches for event in batch.events]


def gather(batches, seen):
    for batch in batches:
        seen.append(batch)


def write(tmp_path, content, name="events"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


PACKINGS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "zstd": zstd.compress,
    "zstd in two frames": lambda data: zstd.compress(data[:1000]) + zstd.compress(data[1000:]),
}
FRAMINGS = {
    "lines": NDJSON,
    "lines without a last end": NDJSON.rstrip(b"\n"),
    "lines ended like on Windows": NDJSON.replace(b"\n", b"\r\n"),
    "lines with blank ones": b"\n \n" + NDJSON.replace(b"\n", b"\n\n"),
    "a byte order mark": b"\xef\xbb\xbf" + NDJSON,
    "an array": json.dumps(RECORDS).encode(),
    "an indented array": json.dumps(RECORDS, indent=2).encode(),
    "indented objects": "\n".join(json.dumps(r, indent=2) for r in RECORDS).encode(),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_framing_in_every_packing_gives_the_same_events(tmp_path, framing, packing):
    path = write(tmp_path, PACKINGS[packing](FRAMINGS[framing]), name="events.of.no.known.name")

    batches = list(source(path).read(None))

    assert ids(batches) == IDS
    assert all(not batch.quarantined for batch in batches)


def test_standard_input_is_read_like_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(gzip.compress(NDJSON))))

    stdin = source("-")

    assert ids(stdin.read(None)) == IDS
    assert stdin.name == "stdin"
    assert not sys.stdin.buffer.closed


def test_reading_goes_on_after_a_position(tmp_path):
    for framing in ("lines", "an array", "lines with blank ones"):
        path = write(tmp_path, FRAMINGS[framing])
        first, *rest = source(path).read(None)

        again = list(source(path).read(first.position))

        assert ids(again) == ids(rest)
        assert len(first.events) + len(ids(again)) == len(IDS)
        assert again[-1].position == rest[-1].position
        assert list(source(path).read(rest[-1].position)) == []


def test_batches_are_of_about_a_thousand(tmp_path):
    sizes = [len(batch.events) for batch in source(write(tmp_path, NDJSON)).read(None)]

    assert all(1_000 <= size < 2_000 for size in sizes[:-1])


def test_a_bad_line_is_told_with_its_number_after_any_number_of_chunks(tmp_path):
    lines = NDJSON.splitlines(keepends=True)
    lines[2_000] = b"garbage\n"
    lines[1] = b"\n"

    batches = list(source(write(tmp_path, b"".join(lines))).read(None))

    assert [(q.line, q.reason) for batch in batches for q in batch.quarantined] == [(2_001, "not JSON")]
    assert len(ids(batches)) == 2_498


def test_a_bad_lines_number_stays_the_same_after_a_position(tmp_path):
    path = write(tmp_path, NDJSON + b"garbage\n")

    [batch] = source(path).read("2499")

    assert ids([batch]) == ["id2499"]
    assert [q.line for q in batch.quarantined] == [2_501]


def test_an_endless_line_is_quarantined_and_not_held_in_memory(tmp_path):
    bomb = b'{"log_id":"' + b"x" * 40_000_000
    path = write(tmp_path, gzip.compress(NDJSON + bomb + b"\n" + NDJSON, compresslevel=1))

    batches = list(source(path).read(None))

    assert ids(batches) == IDS + IDS
    [bad] = [q for batch in batches for q in batch.quarantined]
    assert (bad.line, bad.reason, len(bad.raw)) == (2_501, "larger than 1 MiB", 16_384)


def test_a_pretty_object_with_a_mistake_is_one_bad_record(tmp_path):
    broken = json.dumps(record(1, ip=float("nan")), indent=1).encode()

    [batch] = source(write(tmp_path, broken)).read(None)

    assert [(q.line, q.reason) for q in batch.quarantined] == [(1, "NaN or Infinity")]


def test_lines_after_a_first_one_that_broke_off_are_kept(tmp_path):
    path = write(tmp_path, b'{"log_id": "a",\n' + NDJSON)

    batches = list(source(path).read(None))

    assert ids(batches) == IDS
    assert [q.line for batch in batches for q in batch.quarantined] == [1]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]", gzip.compress(b"", mtime=0), zstd.compress(b"")])
def test_an_empty_file_has_no_batches(tmp_path, content):
    assert list(source(write(tmp_path, content)).read(None)) == []


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_a_slow_pipe_gives_the_same_events(monkeypatch, chunk):
    class Slow(io.BytesIO):
        def readinto1(self, buffer, /):
            return super().readinto1(buffer[:chunk])

    for framing in ("lines", "indented objects"):
        few = FRAMINGS[framing][:20_000]
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Slow(few)))
        slow = ids(source("-").read(None))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(few)))
        assert slow == ids(source("-").read(None)) != []


NEWEST_FIRST = {
    "lines": "".join(json.dumps(r) + "\n" for r in reversed(RECORDS)).encode(),
    "array": json.dumps(RECORDS[::-1]).encode(),
    "bad lines within": b"".join(
        json.dumps(r).encode() + b"\nnothing\n" * (r["details"]["n"] in (7, 2_400)) + b"\n"
        for r in reversed(RECORDS)
    ),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("framing", NEWEST_FIRST)
def test_a_file_with_its_newest_record_first_is_read_from_its_end(tmp_path, framing, packing):
    batches = [*source(write(tmp_path, PACKINGS[packing](NEWEST_FIRST[framing]))).read(None)]

    assert ids(batches) == IDS
    numbers = [bad.line for batch in batches for bad in batch.quarantined]
    assert numbers == ([2_496, 101] if framing == "bad lines within" else [])


def test_a_pipe_with_its_newest_record_first_is_read_as_it_comes(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(NEWEST_FIRST["lines"])))

    assert ids(source("-").read(None)) == IDS[::-1]


def test_a_file_that_only_begins_out_of_order_is_read_from_its_beginning(tmp_path):
    mixed = RECORDS[:400][::-1] + RECORDS[400:]
    content = "".join(json.dumps(r) + "\n" for r in mixed).encode()

    assert ids(source(write(tmp_path, content)).read(None)) == [r["log_id"] for r in mixed]


def test_a_file_too_large_to_hold_is_read_from_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("tocsin.sources.file.MAX_WHOLE", 100_000)

    assert ids(source(write(tmp_path, NEWEST_FIRST["lines"])).read(None)) == IDS[::-1]


def test_what_came_before_the_damage_is_read_from_its_end(tmp_path):
    seen = []
    with pytest.raises(SourceUnavailable, match="damaged"):
        gather(source(write(tmp_path, gzip.compress(NEWEST_FIRST["lines"])[:-2_000])).read(None), seen)

    read = ids(seen)
    assert len(read) > 100
    assert read == IDS[-len(read) :]


def test_a_missing_file_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable, match=r"gone: cannot be read: No such file or directory"):
        list(source(tmp_path / "gone").read(None))


def test_a_folder_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable, match=r"cannot be read: Is a directory"):
        list(source(tmp_path).read(None))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("harm", [lambda data: data[:-20], lambda data: data[:40] + b"harm" + data[44:]])
def test_damaged_compression_is_unavailable(tmp_path, pack, harm):
    path = write(tmp_path, harm(pack(NDJSON)))

    with pytest.raises(SourceUnavailable, match=r"events: the compressed data is damaged: "):
        list(source(path).read(None))


def test_what_came_before_the_damage_is_read(tmp_path):
    path = write(tmp_path, gzip.compress(NDJSON)[:-2_000])
    seen = []

    with pytest.raises(SourceUnavailable):
        gather(source(path).read(None), seen)

    assert 2_000 < len(ids(seen)) < 2_500
    assert ids(seen) == IDS[: len(ids(seen))]


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
def test_progress_adds_up_to_the_size_of_the_file(tmp_path, pack):
    heard = []
    path = write(tmp_path, pack(NDJSON))

    list(source(path, progress=lambda read, size: heard.append((read, size))).read(None))

    assert sum(read for read, _ in heard) == path.stat().st_size
    assert {size for _, size in heard} == {path.stat().st_size}


def test_the_bundled_attack_decodes():
    events, bad = Decoder(["ip"]).decode_body(demo_records(), now_ms=None)

    assert bad == []
    assert len(events) == 1_264
    assert sum(event.code != "s" and event.v_ip == "24.151.103.17" for event in events) == 157
