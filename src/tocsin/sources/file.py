"""Events from a file or standard input: NDJSON or a JSON array, plain, gzip or Zstandard.

What a file is, its content tells, never its name. Lines are read in chunks of 64 KiB (above 128 KiB
page faults cost a third of the speed), so a compressed file may be of any size; a JSON array, or one
object over many lines, is read whole. So is a file that has its newest record first, as an API returns
them: it is read from its end.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from tocsin.errors import SourceUnavailable
from tocsin.model.event import Event
from tocsin.protocols import Batch, Position, Quarantined
from tocsin.sources.decode import Decoded
from tocsin.sources.envelopes import is_spread, split_body, split_lines
from tocsin.sources.limits import MAX_RECORD

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK = 64 * 1024
BATCH = 1_000
MAX_WHOLE = 1024**3
STDIN = "-"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_DAMAGED = (gzip.BadGzipFile, zlib.error, zstd.ZstdError, EOFError)

Progress = Callable[[int, int | None], None]


class RecordsDecoder(Protocol):
    """What turns records into events."""

    def decode_records(self, records: list[bytes], *, first: int, now_ms: int | None) -> Decoded:
        """The events, and the records that are none; `first` is the number of the first."""


def demo_records() -> bytes:
    """The bundled demo as NDJSON: a real attack on a server, told as Auth0 records (demo/SOURCES.md)."""
    return files("tocsin.sources").joinpath("demo", "ssh_attack_as_auth0.ndjson").read_bytes()


class FileSource:
    """One file, or `-` for standard input; it ends where the file does.

    A position is the number of lines (of an array: elements) that were read. `progress` hears how
    many bytes of the file were read since it last heard, and of how many in all (None: not known).
    """

    def __init__(
        self,
        path: str | Path,
        decoder: RecordsDecoder,
        *,
        name: str = "",
        allowed_lateness: timedelta = timedelta(seconds=60),
        progress: Progress | None = None,
    ) -> None:
        self._path = str(path)
        self.name = name or ("stdin" if self._path == STDIN else self._path)
        self.allowed_lateness = allowed_lateness
        self._decoder = decoder
        self._progress: Progress = progress or (lambda _read, _size: None)

    def read(self, after: Position | None) -> Iterator[Batch]:
        """Batches of about a thousand events, past the first `after` lines.

        Raises:
            SourceUnavailable: it is missing, unreadable or damaged. What came before was yielded.
        """
        try:
            with self._open() as opened:
                size = None if self._path == STDIN else os.fstat(opened.fileno()).st_size
                stream = _decompressed(_Metered(opened, size, self._progress))
                parts = _numbered(_chunks(stream))
                if after is None and self._path != STDIN and stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                    parts = self._by_time(parts)
                yield from self._batches(parts, int(after or 0))
        except _DAMAGED as exc:
            raise SourceUnavailable(f"{self.name}: the compressed data is damaged: {exc}") from exc
        except OSError as exc:
            raise SourceUnavailable(f"{self.name}: cannot be read: {exc.strerror or exc}") from exc
        except _TooMuch as exc:
            raise SourceUnavailable(f"{self.name}: {exc}") from exc

    def _open(self) -> AbstractContextManager[BinaryIO]:
        # Standard input is not ours to close.
        return nullcontext(sys.stdin.buffer) if self._path == STDIN else Path(self._path).open("rb")

    def _by_time(self, parts: Iterator[_Part]) -> Iterator[_Part]:
        """The parts; of a file that has its newest record first those at its end come first."""
        begin = next(parts, None)
        if begin is None or not self._falls(begin.records):
            yield from filter(None, (begin,))
            yield from parts
            return
        held, failure = [begin], None
        room = MAX_WHOLE
        try:
            while room > 0 and (part := next(parts, None)):
                held.append(part)
                room -= sum(map(len, part.records))
        except (*_DAMAGED, OSError) as exc:
            failure = exc
        ends = [time_ms for part in (held[0], held[-1]) for time_ms in self._times_ms(part.records)]
        if room > 0 and ends[0] > ends[-1]:
            held = [part._replace(backwards=True) for part in reversed(held)]
        yield from held
        if failure is not None:
            raise failure
        yield from parts

    def _falls(self, records: list[bytes]) -> bool:
        """Whether the newest of these records comes first, and most are older than the one before."""
        times_ms = self._times_ms(records)
        falling = sum(before > after for before, after in pairwise(times_ms))
        rising = sum(before < after for before, after in pairwise(times_ms))
        return falling > rising and times_ms[0] > times_ms[-1]

    def _times_ms(self, records: list[bytes]) -> list[int]:
        return [event.time_ms for event in self._decoder.decode_records(records, first=1, now_ms=None)[0]]

    def _batches(self, parts: Iterator[_Part], done: int) -> Iterator[Batch]:
        events: list[Event] = []
        bad: list[Quarantined] = []
        read = 0
        failure: Exception | None = None
        try:
            for first, records, backwards in parts:
                read += len(records)
                if read <= done:
                    continue
                skip = max(0, done + 1 - first)
                good, worse = self._decoder.decode_records(records[skip:], first=first + skip, now_ms=None)
                events += reversed(good) if backwards else good
                bad += worse
                if len(events) + len(bad) >= BATCH:
                    yield Batch(events, str(read), bad)
                    events, bad = [], []
        except (*_DAMAGED, OSError) as exc:
            failure = exc
        if events or bad:
            yield Batch(events, str(read), bad)
        if failure is not None:
            raise failure


class _Part(NamedTuple):
    """Some records that follow each other, with the number of the first; to be taken from the last on?"""

    first: int
    records: list[bytes]
    backwards: bool = False


def _numbered(chunks: Iterator[list[bytes]]) -> Iterator[_Part]:
    first = 1
    for records in chunks:
        yield _Part(first, records)
        first += len(records)


class _TooMuch(Exception):
    """A value that must be read whole, and is too large for it."""


class _Metered(io.RawIOBase):
    """A stream that tells how much is read of it, and what it begins with."""

    def __init__(self, inner: BinaryIO, size: int | None, progress: Progress) -> None:
        self._inner, self._size, self._progress = inner, size, progress
        self.head = self._pending = inner.read(len(_ZSTD))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._pending:
            read = len(self._pending)
            buffer[:read], self._pending = self._pending, b""
        else:
            read = self._inner.readinto1(buffer)  # type: ignore[attr-defined]
        self._progress(read, self._size)
        return read


def _decompressed(raw: _Metered) -> io.BufferedIOBase:
    buffered = io.BufferedReader(raw, CHUNK)
    if raw.head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=buffered)
    if raw.head == _ZSTD:
        return cast("io.BufferedIOBase", zstd.ZstdFile(buffered))
    return buffered


def _chunks(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """The records, as they stand in the stream, some at a time."""
    head = _head(stream)
    if head.startswith(b"[") or is_spread(head):
        records = split_body(_whole(head, stream))
        yield from (records[at : at + BATCH] for at in range(0, len(records), BATCH))
        return
    for lines in _lines(head, stream):
        yield split_lines(lines)


def _head(stream: io.BufferedIOBase) -> bytes:
    """Enough of the beginning to tell what it is: its first line that is not blank, at most a chunk."""
    head = b""
    while len(head) < CHUNK and b"\n" not in head.lstrip() and (block := stream.read1(CHUNK)):
        head = (head + block).removeprefix(_BOM)
    return head


def _whole(head: bytes, stream: io.BufferedIOBase) -> bytes:
    rest = stream.read(MAX_WHOLE)
    if len(rest) == MAX_WHOLE:
        raise _TooMuch("more than 1 GiB in one JSON value; write one record a line: jq -c '.[]' FILE")
    return head + rest


def _lines(head: bytes, stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Whole lines, about a chunk at a time; of a line over the limit only as much as shows that it is."""
    rest, block = b"", head
    while block:
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(block)[:cut]))
            rest = block[cut:]
        elif len(rest) <= MAX_RECORD:
            rest += block
        block = stream.read1(CHUNK)
    if rest:
        yield rest
