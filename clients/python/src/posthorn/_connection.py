"""A connection of the caller's own, or one that is opened here and closed with what uses it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import Client

from ._errors import PosthornError

CONNECT_TIMEOUT_S = 5


@dataclass(frozen=True)
class NatsServers:
    """How to reach NATS, where a URL does not say enough."""

    #: URLs; several in one text are separated by commas.
    servers: str | Sequence[str]
    #: A credentials file (JWT and seed); wants `posthorn[creds]`.
    creds_file: str | None = None
    tls: ssl.SSLContext | None = None
    #: The inbox that permissions allow: `_INBOX.publisher`.
    inbox_prefix: str = "_INBOX"


#: One URL, several, with credentials, or a connection that stays the caller's.
NatsSource = str | Sequence[str] | NatsServers | Client
Close = Callable[[], Awaitable[None]]


async def open_connection(source: NatsSource) -> tuple[Client, Close]:
    """Raises NATS_UNREACHABLE."""
    if isinstance(source, Client):
        return source, _leave_open
    given = source if isinstance(source, NatsServers) else NatsServers(source)
    texts = [given.servers] if isinstance(given.servers, str) else list(given.servers)
    urls = [urlsplit(_with_scheme(part.strip())) for text in texts for part in text.split(",") if part.strip()]
    if not urls:
        raise PosthornError("NATS_UNREACHABLE", "nats: found no URL, wanted one such as nats://127.0.0.1:4222")
    connection = Client()
    await _connect(connection, urls, given)

    async def close() -> None:
        try:
            await connection.drain()
        except Exception:
            await connection.close()

    return connection, close


async def _leave_open() -> None:
    pass


async def _connect(connection: Client, urls: Sequence[SplitResult], given: NatsServers) -> None:
    # Neither a message nor a traceback may show a password: the URLs are passed on without it.
    servers = [f"{url.scheme}://{url.netloc.rpartition('@')[2]}" for url in urls]
    failures: list[Exception] = []
    all_failed = asyncio.Event()

    async def on_error(error: Exception) -> None:
        failures.append(error)
        if len(failures) >= len(servers):
            all_failed.set()

    tls = given.tls
    if tls is None and any(url.scheme in ("tls", "wss") for url in urls):
        tls = ssl.create_default_context()
    options: dict[str, Any] = {
        **_user_of(urls[0]),
        **({} if tls is None else {"tls": tls}),
        **({} if given.creds_file is None else {"user_credentials": given.creds_file}),
    }
    connecting = asyncio.ensure_future(
        connection.connect(
            servers=servers,
            name="posthorn-client",
            error_cb=on_error,
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_TIMEOUT_S,
            inbox_prefix=given.inbox_prefix.encode(),
            **options,
        )
    )
    # By itself the first connect would be retried forever.
    failing = asyncio.ensure_future(all_failed.wait())
    try:
        await asyncio.wait({connecting, failing}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done() and connecting.exception() is None:
            return
        cause = connecting.exception() if connecting.done() else failures[-1]
        message = f"no NATS server answered at {', '.join(servers)} ({cause or type(cause).__name__})"
        raise PosthornError("NATS_UNREACHABLE", message, retryable=True) from cause
    finally:
        failing.cancel()
        if not connecting.done():
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await connecting
            # It may have no transport to close.
            with contextlib.suppress(Exception):
                await connection.close()


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"nats://{url}"


def _user_of(url: SplitResult) -> dict[str, str]:
    """A user without a password is a token."""
    if not url.username:
        return {}
    if not url.password:
        return {"token": unquote(url.username)}
    return {"user": unquote(url.username), "password": unquote(url.password)}
