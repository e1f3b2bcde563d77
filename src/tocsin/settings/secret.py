"""Secrets: the settings name where one is kept, never the secret itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import structlog
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from tocsin.errors import ConfigError
from tocsin.settings.values import anchored

MAX_BYTES = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

log = structlog.get_logger(__name__)


class Secret:
    """`{env: NAME}` or `{file: PATH}`; read when it is used, so that it can be rotated.

    Its repr and str name the place, never the value.
    """

    __slots__ = ("_env", "_file", "_warned")

    def __init__(self, *, env: str | None = None, file: Path | None = None) -> None:
        if (env is None) == (file is None):
            raise ValueError("a secret is {env: NAME} or {file: PATH}, one of them")
        self._env, self._file, self._warned = env, file, False

    def reveal(self) -> str:
        """The secret, without the line end a file may have.

        Raises:
            ConfigError: it is not there, empty, or not text.
        """
        value = self._from_env(self._env) if self._env is not None else self._from_file()
        if not value:
            raise ConfigError(f"the secret in {self.place} is empty")
        return value

    @property
    def place(self) -> str:
        """Where it is kept, for messages."""
        return f"environment variable {self._env}" if self._env is not None else f"file {self._file}"

    def _from_env(self, name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            raise ConfigError(f"environment variable {name} is not set; the settings keep a secret there")
        return value

    def _from_file(self) -> str:
        assert self._file is not None  # noqa: S101 - one of the two, says the constructor
        try:
            with self._file.open("rb") as file:
                self._warn_if_open(os.fstat(file.fileno()).st_mode)
                raw = file.read(MAX_BYTES + 1)
        except OSError as exc:
            raise ConfigError(f"secret file {self._file} cannot be read: {exc.strerror}") from exc
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"secret file {self._file} is larger than 64 KiB: is it the right file?")
        try:
            return raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError(f"secret file {self._file} is not UTF-8 text") from None

    def _warn_if_open(self, mode: int) -> None:
        """Others can read it: said once; not refused, since container secrets are often 0444."""
        if mode & 0o077 and not self._warned:
            self._warned = True
            log.warning(
                "secret.readable_by_others",
                file=str(self._file),
                mode=f"{stat.S_IMODE(mode):04o}",
                hint=f"chmod 600 {self._file}",
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._env, self._file) == (other._env, other._file)

    def __hash__(self) -> int:
        return hash((self._env, self._file))

    @classmethod
    def parse(cls, value: object) -> Self:
        """From a settings value.

        Raises:
            ValueError: with the way out; the value is never part of the message.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(  # noqa: TRY004 - what pydantic collects
                "secrets are not written here; use {env: NAME} or {file: PATH}"
            )
        if len(value) != 1 or not set(value) <= {"env", "file"}:
            raise ValueError("a secret has one key: {env: NAME} or {file: PATH}")
        (kind, text) = next(iter(value.items()))
        if not isinstance(text, str) or not text:
            raise ValueError(f"a secret's {kind} is a name: {{env: NAME}} or {{file: PATH}}")
        if kind == "file":
            return cls(file=anchored(Path(text)))
        if not _VARIABLE.fullmatch(text):
            raise ValueError("an environment variable's name is letters, digits and _: {env: NAME}")
        return cls(env=text)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(repr)
        )


class SecretUrl(Secret):
    """A URL that may hold a password: written out when it holds none, else as a secret."""

    __slots__ = ("_plain",)

    def __init__(self, *, env: str | None = None, file: Path | None = None, plain: str | None = None) -> None:
        self._plain = plain
        if plain is None:
            super().__init__(env=env, file=file)
        else:
            self._env, self._file, self._warned = None, None, False

    def reveal(self) -> str:
        return super().reveal() if self._plain is None else self._plain

    @property
    def place(self) -> str:
        """The URL itself where it is no secret."""
        return super().place if self._plain is None else self._plain

    def with_schemes(self, *allowed: str) -> Self:
        """Itself; a URL written out must begin with one of these (a secret one is judged at its use).

        Raises:
            ValueError: it does not.
        """
        if self._plain is not None and urlsplit(self._plain).scheme not in allowed:
            raise ValueError(f"the URL must begin with {' or '.join(f'{scheme}://' for scheme in allowed)}")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and super().__eq__(other) and self._plain == other._plain

    def __hash__(self) -> int:
        return hash((self._env, self._file, self._plain))

    @classmethod
    def parse(cls, value: object) -> Self:
        if not isinstance(value, str):
            return super().parse(value)
        if value == os.environ.get(_OVERRIDE):  # pydantic-settings put it there: the environment keeps it
            return cls(env=_OVERRIDE)
        try:
            parts = urlsplit(value)
        except ValueError:
            raise ValueError("this is not a URL") from None
        if parts.password is not None or "password=" in parts.query:
            raise ValueError("this URL holds a password; keep the URL in {env: NAME} or {file: PATH}")
        if not parts.scheme or not (parts.netloc or parts.path):
            raise ValueError("a URL is wanted, like redis://localhost:6379 or http://proxy:3128")
        return cls(plain=value)


_OVERRIDE = "TOCSIN_REDIS_URL"
