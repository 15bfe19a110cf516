"""
Follows status events through a consumer, at least once.

SUBSCRIBE-1  With a durable name a subscriber catches up after a restart.
SUBSCRIBE-2  With `max_in_flight` 1 events arrive in order, and one that waits for redelivery blocks the next ones. With
             more they don't wait for each other.
SUBSCRIBE-3  A deleted consumer is recreated after the last event that all processes of its name had acknowledged; events
             that this process has handled since its last update are not handled again.
SUBSCRIBE-4  An event is acknowledged when the handler has returned, and redelivered after growing delays if it raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nats.aio.client import Client
from nats.aio.msg import Msg

from ._connection import Close, NatsSource, open_connection
from ._errors import PosthornError
from ._event import DEFAULT_PREFIX, check_subject_prefix
from ._status_consumer import (
    ACK_WAIT_S,
    ApiError,
    ConsumerApi,
    ConsumerPlan,
    Start,
    StatusFilter,
    check_options,
    first_open,
)
from ._status_event import StatusEvent, StatusEventType, read_status_event

_log = logging.getLogger("posthorn")

_PULL_S = 10.0
_AGAIN_AFTER_S = 0.5
_LONGEST_BACKOFF_S = 5 * 60
#: How often the server is asked what is acknowledged.
_ASK_EVERY_S = 10.0
#: Events handled here that are remembered, in case their consumer is deleted before the server knows.
_MOST_HANDLED = 10_000


@dataclass(frozen=True)
class StatusContext:
    #: The NATS subject.
    subject: str
    sequence: int
    #: Number of earlier deliveries of the event.
    redelivered: int


StatusHandler = Callable[[StatusEvent, StatusContext], Awaitable[None] | None]
ErrorHandler = Callable[[Exception], None]


def backoff_s(failures: int) -> float:
    """Delay of the redelivery after the handler's n-th failure."""
    return float(min(2 ** min(failures - 1, 30), _LONGEST_BACKOFF_S))


def _log_error(error: Exception) -> None:
    _log.warning("status subscription: %s", error, exc_info=error)


async def subscribe_status(
    on_event: StatusHandler,
    *,
    nats: NatsSource,
    durable: str | None = None,
    changes: Sequence[StatusEventType] | None = None,
    app: str | None = None,
    installation_uuid: str | None = None,
    start_at: Literal["new", "all"] | datetime = "new",
    max_in_flight: int = 1,
    on_error: ErrorHandler = _log_error,
    subject_prefix: str = DEFAULT_PREFIX,
    api_prefix: str = "$JS.API",
) -> StatusSubscription:
    """
    Calls `on_event` for status events, at least once each. `durable` identifies the subscription: a process that restarts
    with the same name resumes where the last one stopped; without a name the subscription ends with `stop`. `start_at` is the
    start of a new subscription. With `max_in_flight` 1 events arrive in order over all processes of the name, and an event
    whose handler raises blocks the next ones; with more, up to 256, there is no order. `on_error` is called with every error
    that is retried. `api_prefix` is the prefix of the JetStream API if it is imported from Posthorn's account.

    Raises PUBLISH_INVALID naming a wrong option, NATS_UNREACHABLE, or NOT_FOUND when there is no status stream.
    """
    check_subject_prefix(subject_prefix)
    wanted = StatusFilter(changes, app, installation_uuid)
    check_options(durable=durable, api_prefix=api_prefix, start_at=start_at, max_in_flight=max_in_flight, plan_filter=wanted)
    if not callable(on_event):
        raise PosthornError("PUBLISH_INVALID", f"on_event: found {on_event!r}, wanted a function")
    name = durable if durable is not None else f"once-{uuid.uuid4()}"
    plan = ConsumerPlan(subject_prefix, api_prefix, name, durable is not None, max_in_flight, wanted)
    connection, close = await open_connection(nats)
    subscription = StatusSubscription(connection, close, plan, on_event, on_error)
    try:
        await subscription._start(start_at)
    except BaseException:
        await close()
        raise
    return subscription


class StatusSubscription:
    """Created by `subscribe_status`."""

    def __init__(
        self, connection: Client, close: Close, plan: ConsumerPlan, on_event: StatusHandler, on_error: ErrorHandler
    ) -> None:
        self._connection = connection
        self._close = close
        self._plan = plan
        self._on_event = on_event
        self._on_error = on_error
        self._consumer = ConsumerApi(connection, plan)
        #: Everything before it is acknowledged, by any process.
        self._resume_at: Start = "new"
        self._asked_at = 0.0
        #: Events handled here after that position: sequence → when the server stored it.
        self._handled: dict[int, datetime] = {}
        self._messages: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._running: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._ended: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Returns when the handlers that are running have ended."""
        self._stopped = True
        self._messages.put_nowait(None)
        if self._ended is not None:
            await self._ended
        while self._running:
            await asyncio.wait(self._running)
        if not self._plan.is_durable:
            with contextlib.suppress(Exception):
                await self._consumer.delete()
        await self._close()

    async def _start(self, start_at: Start) -> None:
        self._note(await self._consumer.ensure(start_at))
        self._ended = asyncio.create_task(self._run())

    def _note(self, info: dict[str, object]) -> None:
        self._resume_at = first_open(info)
        self._asked_at = time.monotonic()
        floor = int(info.get("ack_floor", {}).get("stream_seq", 0))  # type: ignore[attr-defined]
        self._handled = {sequence: at for sequence, at in self._handled.items() if sequence > floor}

    def _report(self, error: Exception) -> None:
        try:
            self._on_error(error)
        except Exception:
            _log.exception("on_error failed")

    async def _run(self) -> None:
        while not self._stopped:
            try:
                await self._pull_all()
            except Exception as error:
                if self._stopped:
                    return
                self._report(error)
                if self._connection.is_closed:
                    return
                await asyncio.sleep(_AGAIN_AFTER_S)
                # It may have been deleted.
                try:
                    self._note(await self._consumer.ensure(self._resume_at))
                except Exception as again:
                    self._report(again)

    async def _pull_all(self) -> None:
        inbox = self._connection.new_inbox()

        async def keep(message: Msg) -> None:
            self._messages.put_nowait(message)

        subscription = await self._connection.subscribe(f"{inbox}.*", cb=keep)
        try:
            pulls = 0
            while not self._stopped:
                if len(self._running) >= self._plan.max_in_flight:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                    continue
                if time.monotonic() - self._asked_at >= _ASK_EVERY_S:
                    self._note(await self._consumer.info())
                pulls += 1
                await self._pull(f"{inbox}.{pulls}", self._plan.max_in_flight - len(self._running))
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
            # Delivered but not begun: another process may have them immediately.
            while not self._messages.empty():
                message = self._messages.get_nowait()
                if message is not None and message.reply:
                    with contextlib.suppress(Exception):
                        await message.nak()

    async def _pull(self, inbox: str, count: int) -> None:
        request = {"batch": count, "expires": int(_PULL_S * 1e9)}
        await self._connection.publish(self._consumer.next_subject, json.dumps(request).encode(), reply=inbox)
        until = time.monotonic() + _PULL_S + 1
        while count > 0:
            try:
                message = await asyncio.wait_for(self._messages.get(), max(until - time.monotonic(), 0.01))
            except asyncio.TimeoutError:
                return
            if message is None:
                return
            if message.reply:
                count -= 1
                self._begin(message)
            elif message.subject == inbox:
                # 404 and 408: there are no more now.
                status = (message.headers or {}).get("Status", "")
                if status in ("404", "408"):
                    return
                raise ApiError(int(status or 0), f"pull: {status} {(message.headers or {}).get('Description', '')}")

    def _begin(self, message: Msg) -> None:
        task = asyncio.create_task(self._handle(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, message: Msg) -> None:
        try:
            await self._handle_message(message)
        except Exception as error:
            self._report(error)

    async def _handle_message(self, message: Msg) -> None:
        metadata = message.metadata
        sequence, stored_at = metadata.sequence.stream, metadata.timestamp
        if self._handled.get(sequence) == stored_at:
            return await message.ack()
        event = read_status_event(message.data)
        if event is None:
            # It would stand in the way of all that follow.
            where = f"{message.subject}: message {sequence} of {self._plan.stream}"
            self._report(PosthornError("RECORD_INVALID", f"{where} is no status event; it is skipped"))
            return await message.term()
        keeping = asyncio.create_task(_keep_alive(message))
        try:
            if self._is_wanted(event):
                result = self._on_event(event, StatusContext(message.subject, sequence, metadata.num_delivered - 1))
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            self._report(error)
            await message.nak(backoff_s(metadata.num_delivered))
        else:
            self._handled[sequence] = stored_at
            # The server's floor does not move past an event that is never handled.
            if len(self._handled) > _MOST_HANDLED:
                del self._handled[next(iter(self._handled))]
            await message.ack()
        finally:
            keeping.cancel()

    def _is_wanted(self, event: StatusEvent) -> bool:
        wanted = self._plan.filter
        if wanted.changes is not None and event.type not in wanted.changes:
            return False
        if wanted.app is not None and event.data.get("app") != wanted.app:
            return False
        installation = wanted.installation_uuid
        return installation is None or event.data.get("installation_uuid") == installation.lower()


async def _keep_alive(message: Msg) -> None:
    while True:
        await asyncio.sleep(ACK_WAIT_S / 3)
        await message.in_progress()
