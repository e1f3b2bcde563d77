"""Decoding of files whose provider nobody named: their first records tell whose they are."""

from __future__ import annotations

from collections.abc import Callable

from tocsin.catalog.provider import provider_of
from tocsin.errors import BadRecord
from tocsin.sources.decode import Decoded, Decoder
from tocsin.sources.envelopes import split_body, unwrap
from tocsin.sources.limits import full_record

DEFAULT = "auth0"  # of records that do not tell


class GuessingDecoder:
    """A decoder of one file, made by `make` for the provider of the first record that tells its own.

    Until a record tells, they are decoded as the default provider's, which says what is wrong with them.
    """

    def __init__(self, make: Callable[[str], Decoder]) -> None:
        self._make = make
        self._decoder: Decoder | None = None

    def decode_records(self, records: list[bytes], *, first: int, now_ms: int | None) -> Decoded:
        """As `Decoder.decode_records`."""
        return self._of(records).decode_records(records, first=first, now_ms=now_ms)

    def decode_body(self, body: bytes, *, now_ms: int | None) -> Decoded:
        """As `Decoder.decode_body`."""
        return self._of(split_body(body)).decode_body(body, now_ms=now_ms)

    def _of(self, records: list[bytes]) -> Decoder:
        if self._decoder is None:
            told = next((provider for record in records if (provider := _told_by(record))), None)
            if told is None:
                return self._make(DEFAULT)
            self._decoder = self._make(told)
        return self._decoder


def _told_by(record: bytes) -> str | None:
    try:
        whole, _ = full_record(record)
    except BadRecord:
        return None
    item, fields = unwrap(whole)
    return provider_of(whole) or provider_of(item) or provider_of(fields)
