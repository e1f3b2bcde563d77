"""Whatever stands in a settings file, it is settings or a ConfigError that names the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.delivery.channels import CHANNELS
from tocsin.errors import ConfigError
from tocsin.settings import Settings, SourceSettings, load_settings, validate_channels

KEYS = [
    *Settings.model_fields,
    *SourceSettings.model_fields,
    "env",
    "file",
    "type",
    "channel",
    "every",
    "alerts",
]
NASTY = ["", "~", "~root", "~no-such-user/x", "\0", "\ud800", "a" * 5000, "shipped", "auth0_stream", "slack"]
NASTY += [
    "redis://h",
    "unix:///s",
    "http://[",
    "https://h",
    "127.0.0.1:1",
    "9" * 400 + "d",
    "10m",
    "{{7*7}}",
    "../..",
    ".",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(NASTY),
    st.text(max_size=10),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
files = st.dictionaries(keys, values, max_size=6)


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "tocsin.yml"


@given(data=files)
def test_any_file_is_settings_or_config_errors(path: Path, data: dict[str, object]) -> None:
    path.write_text(json.dumps(data))  # JSON is YAML; json escapes what UTF-8 cannot hold

    try:
        validate_channels(load_settings(path), CHANNELS)
    except ConfigError as exc:
        assert str(path) in str(exc)  # noqa: PT017 - some are fine
