"""One real nats-server for all tests: TEST_NATS_SERVER, or the one on the PATH."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

VECTORS = Path(__file__).parents[2] / "vectors"
TIMEOUT_S = 120


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


async def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until, f"still false after {TIMEOUT_S} s"
        await asyncio.sleep(0.02)


def free_port() -> int:
    """Below those that connections going out are given by chance."""
    while True:
        port = random.randrange(10_240, 32_768)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    binary = os.environ.get("TEST_NATS_SERVER") or shutil.which("nats-server", path=path)
    assert binary is not None, "the tests start a nats-server, and none is on the PATH"
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = subprocess.Popen(
            [binary, "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"nats://127.0.0.1:{port}"
            asyncio.run(_streams(url))
            yield url
        finally:
            server.kill()
            server.wait()


async def _streams(url: str) -> None:
    async def no_log(_error: Exception) -> None:
        pass

    connection = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=no_log)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="APP_PLATFORM_EVENTS", subjects=["app-platform.events.*.*"])
    subjects = ["app-platform.status.*.*.*", "app-platform.status.*.*.*.*"]
    await jetstream.add_stream(name="APP_PLATFORM_STATUS", subjects=subjects)
    await connection.close()


Scenario = Callable[[Client], Awaitable[None]]


@pytest.fixture
def run(nats_url: str) -> Callable[[Scenario], None]:
    """Runs a coroutine function with a connection of its own."""

    def run_scenario(scenario: Scenario) -> None:
        async def connected() -> None:
            connection = await nats.connect(nats_url)
            try:
                await scenario(connection)
            finally:
                await connection.close()

        asyncio.run(connected())

    return run_scenario
