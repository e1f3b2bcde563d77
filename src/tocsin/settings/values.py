"""The kinds of values that settings and channel configs are written in, as pydantic types."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from tocsin.clock import parse_duration

LONGEST = timedelta(days=36_500)  # so that `now - duration` is always a date

_BASE: ContextVar[Path | None] = ContextVar("tocsin_settings_base", default=None)
_SIZE = re.compile(r"(\d{1,15})\s*(b|kb|mb|gb)", re.IGNORECASE)
_UNIT_BYTES = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MAX_PORT = 65_535


class Listen(NamedTuple):
    """Where the receiver listens; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextmanager
def relative_to(base: Path) -> Iterator[None]:
    """While it lasts, relative paths in what is validated start at `base`, the config file's folder."""
    token = _BASE.set(base)
    try:
        yield
    finally:
        _BASE.reset(token)


def anchored(path: Path) -> Path:
    """The path, from the config file's folder when it is relative.

    Raises:
        ValueError: no file can be called that.
    """
    try:
        expanded = path.expanduser()
        possible = b"\0" not in os.fsencode(expanded)
    except RuntimeError as exc:
        raise ValueError(f"{str(path)!r}: there is no such home directory") from exc
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ValueError(f"{str(path)!r} cannot be a path")
    base = _BASE.get()
    return expanded if base is None else base / expanded


def _present(path: Path) -> Path:
    found = anchored(path)
    try:
        if found.exists():
            return found
    except OSError:  # a name too long, a folder that may not be entered
        pass
    raise ValueError(f'"{path}": no such file or folder')


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    duration = parse_duration(str(value))
    if duration > LONGEST:
        raise ValueError(f"{value!r} is too long a duration; at most {LONGEST.days}d")
    return duration


def _size(value: object) -> int:
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a size; write a number and a unit, like 512mb or 2gb")
    return int(found[1]) * _UNIT_BYTES[found[2].lower()]


def _listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    host, colon, port = str(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(MAX_PORT))
    if not colon or not bare or not digits or int(port) > MAX_PORT or (":" in bare and not bracketed):
        raise ValueError(f"{value!r} is not an address; write host:port, like 127.0.0.1:8080 or '[::1]:8080'")
    return Listen(bare, int(port))


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name; use up to 64 letters, digits, and . _ - inside")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]  # `30s`, `10m`, `4h`, `7d`
Size = Annotated[int, BeforeValidator(_size)]  # `512mb`; bytes inside
Address = Annotated[Listen, NoDecode, BeforeValidator(_listen)]  # `host:port`; no JSON in variables
Name = Annotated[str, AfterValidator(_name)]
LocalPath = Annotated[Path, AfterValidator(anchored)]
ExistingPath = Annotated[Path, AfterValidator(_present)]
