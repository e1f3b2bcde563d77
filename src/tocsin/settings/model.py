"""The settings, field by field. Unknown keys are errors; every field has a default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tocsin.settings.document import Document
from tocsin.settings.secret import Secret, SecretUrl
from tocsin.settings.shipped import SHIPPED, shipped, shipped_place, shipped_rules
from tocsin.settings.values import (
    Address,
    Duration,
    ExistingPath,
    Listen,
    LocalPath,
    Name,
    Size,
)

ENV_PREFIX = "TOCSIN_"
ENV_DELIMITER = "__"


def _shipped_rules(value: object, judged: ValidatorFunctionWrapHandler) -> list[Path]:
    """`shipped` is every folder of rules but `ecs`; `shipped/ecs` and the like are one of them, or a file."""
    written = value if isinstance(value, list) else []
    paths: list[Path] = judged([_shipped_path(item) for item in written] if written else value)
    pairs = zip(written or paths, paths, strict=True)
    return [path for item, one in pairs for path in (shipped_rules() if item == SHIPPED else [one])]


def _shipped_path(item: object) -> object:
    """A folder or a file that is there, for the judge; of `shipped` itself any of them."""
    places = shipped_place(item) if isinstance(item, str) else None
    return places[0] if places else item


def _shipped_templates(value: object) -> object:
    own = shipped("alerts") / "templates"
    return [own if item == SHIPPED else item for item in value] if isinstance(value, list) else value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is not a web address; write https://tocsin.example.com")
    if parts.username is not None:
        raise ValueError("an external_url holds no user name or password: it stands in every message")
    return value.rstrip("/")


def _store_url(value: SecretUrl) -> SecretUrl:
    return value.with_schemes("redis", "rediss", "unix")


def _proxy_url(value: SecretUrl) -> SecretUrl:
    return value.with_schemes("http", "https")


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (LookupError, ValueError, OSError) as exc:
        raise ValueError(f"{name!r} is not a time zone; write one like UTC or Europe/Madrid") from exc


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class SourceSettings(Part):
    """A door for events: `POST /v1/ingest/{its name}`.

    `type` says what comes through it: Auth0's log streams, or documents of the Elastic Common Schema.
    `tokens`: any of them is the whole Authorization header a sender must show. `tenant` names the
    tenant of all its records (else the record's own, else the installation's).
    """

    type: Literal["auth0_stream", "ecs_stream"]
    tokens: list[Secret] = Field(default_factory=list)
    tenant: str | None = Field(default=None, min_length=1, max_length=256)
    allowed_lateness: Duration = timedelta(seconds=60)

    @property
    def provider(self) -> str:
        """Whose records these are."""
        return self.type.removesuffix("_stream")


class Heartbeat(Part):
    """A message every `every` to `channel`, so that somebody notices when it stops."""

    channel: str
    every: Annotated[Duration, Field(ge=timedelta(seconds=1))]


class Retention(Part):
    """How long resolved alerts are kept."""

    alerts: Annotated[Duration, Field(ge=timedelta(hours=1))] = timedelta(days=90)


class Settings(BaseSettings):
    """All settings. Channels stay as written; `validate_channels` judges them by their own configs."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=False,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        arbitrary_types_allowed=True,
    )

    data_dir: LocalPath = Field(default=Path("data"), validate_default=True)
    redis_url: Annotated[SecretUrl, AfterValidator(_store_url)] | None = None  # set: no embedded Valkey
    max_memory: Annotated[Size, Field(ge=16 * 1024**2)] = 512 * 1024**2  # the embedded Valkey's, bytes
    unsafe_store: bool = False  # accept a server that evicts or does not persist

    rules: Annotated[list[ExistingPath], WrapValidator(_shipped_rules)] = Field(
        default_factory=shipped_rules, min_length=1
    )
    overlay: ExistingPath | None = None
    lists: dict[Name, ExistingPath] = Field(default_factory=dict)
    trusted_rules: list[str] = Field(default_factory=list)
    geo: list[ExistingPath] = Field(default_factory=list)  # files in MaxMind's format
    watch_rules: bool = False  # read them anew when their files change

    routing: ExistingPath = Field(default_factory=lambda: shipped("alerts") / "routing.yml")
    templates: Annotated[list[ExistingPath], BeforeValidator(_shipped_templates)] = Field(
        default_factory=lambda: [shipped("alerts") / "templates"]
    )
    channels: dict[Name, dict[str, Any]] = Field(default_factory=lambda: {"terminal": {"type": "console"}})
    external_url: Annotated[str, AfterValidator(_web_address)] | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"  # an IANA name
    notify_max_age: Duration | None = timedelta(hours=24)  # null: none is too old to be told
    heartbeat: Heartbeat | None = None
    retention: Retention = Retention()

    listen: Address = Listen("127.0.0.1", 8080)
    sources: dict[Name, SourceSettings] = Field(
        default_factory=lambda: {"auth0": SourceSettings(type="auth0_stream")}
    )
    tenant: str = Field(default="default", min_length=1, max_length=256)  # of records that name none

    proxy: Annotated[SecretUrl, AfterValidator(_proxy_url)] | None = None
    ca_file: ExistingPath | None = None

    _document: Document = PrivateAttr(default_factory=lambda: Document("the default settings", {}))
    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def document(self) -> Document:
        """The file they come from, for errors with a place."""
        return self._document

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self._folder

    def came_from(self, document: Document, folder: Path) -> Self:
        """The same settings, knowing their file."""
        self._document, self._folder = document, folder
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; nothing else is read."""
        return env_settings, init_settings
