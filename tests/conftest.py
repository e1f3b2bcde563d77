"""A real private Valkey, one for each test process, and a store on it that nobody else sees."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tocsin.state.connection import Store, open_store
from tocsin.state.embedded import EmbeddedServer

# A setting of whoever runs the tests is none of theirs; which server binary to start is.
for name in [name for name in os.environ if name.upper().startswith("TOCSIN_") and name != "TOCSIN_VALKEY"]:
    del os.environ[name]

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands set up logging, for their own process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    # Not tmp_path: pytest keeps those, and a unix socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-test-"))
    try:
        with EmbeddedServer(folder, appendfsync="no") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(valkey: EmbeddedServer) -> Iterator[Store]:
    opened = open_store(valkey.url, prefix=f"test-{uuid.uuid4().hex[:8]}")
    yield opened
    opened.erase()
    opened.close()
