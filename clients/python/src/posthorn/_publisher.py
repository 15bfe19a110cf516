"""Publishes events: validated before they leave, deduplicated by type and id, acknowledged by JetStream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError

from ._connection import Close, NatsSource, open_connection
from ._errors import PosthornError
from ._event import (
    DEFAULT_MAX_ID_LENGTH,
    DEFAULT_PREFIX,
    PreparedEvent,
    check_subject_prefix,
    prepare_event,
    stream_name,
)
from ._text import quote
from ._trace import parse_traceparent, publish_span


@dataclass(frozen=True)
class PublishedEvent:
    id: str
    stream: str
    sequence: int
    #: An event of this type and id exists already; this one was not stored.
    duplicate: bool
    #: The trace that the event carries; None when it carries none and Posthorn starts one.
    trace_id: str | None


class Publisher:
    """Made by `Publisher.connect`. One is enough for a process: calls may overlap."""

    def __init__(self, connection: Client, close: Close, *, subject_prefix: str, max_id_length: int, timeout_s: float) -> None:
        self._close = close
        self._jetstream = connection.jetstream()
        self._subject_prefix = subject_prefix
        self._max_id_length = max_id_length
        self._timeout_s = timeout_s

    @classmethod
    async def connect(
        cls,
        nats: NatsSource,
        *,
        subject_prefix: str = DEFAULT_PREFIX,
        max_id_length: int = DEFAULT_MAX_ID_LENGTH,
        timeout_s: float = 5.0,
    ) -> Publisher:
        """
        `subject_prefix` and `max_id_length` are POSTHORN_SUBJECT_PREFIX and POSTHORN_MAX_ID_LENGTH of the Posthorn that is
        to deliver. `timeout_s` is how long one try waits for the acknowledgement; there are two.

        Raises NATS_UNREACHABLE, or PUBLISH_INVALID when the subject prefix can't be one.
        """
        check_subject_prefix(subject_prefix)
        connection, close = await open_connection(nats)
        return cls(connection, close, subject_prefix=subject_prefix, max_id_length=max_id_length, timeout_s=timeout_s)

    async def publish(
        self,
        *,
        type: str,
        organization_id: str | int,
        data: Mapping[str, Any] | None = None,
        data_json: str | None = None,
        id: str | None = None,
        installation_uuid: str | None = None,
        app: str | None = None,
        project_id: str | int | None = None,
        actor: Mapping[str, Any] | None = None,
        occurred_at: datetime | str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> PublishedEvent:
        """
        Publishes an event and waits until it is stored. `data_json` is `data` as JSON text, sent as it is. `id` is unique
        among events of a type: the same type and id are stored once within ten minutes; a UUID by default. `traceparent` is
        the trace context to continue, by default that of the active OpenTelemetry span.

        Raises PUBLISH_INVALID naming the member, or PUBLISH_FAILED when JetStream did not acknowledge.
        """
        event = prepare_event(
            type=type,
            organization_id=organization_id,
            data=data,
            data_json=data_json,
            id=id,
            installation_uuid=installation_uuid,
            app=app,
            project_id=project_id,
            actor=actor,
            occurred_at=occurred_at,
            subject_prefix=self._subject_prefix,
            max_id_length=self._max_id_length,
        )
        with publish_span(event.subject, event.id, parse_traceparent(traceparent, tracestate)) as trace:
            headers = {"Nats-Msg-Id": event.message_id, **(trace.headers() if trace else {})}
            stream, sequence, duplicate = await self._store(event, headers)
        return PublishedEvent(event.id, stream, sequence, duplicate, trace.trace_id if trace else None)

    async def close(self) -> None:
        """Ends the connection, unless it is the caller's own."""
        await self._close()

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _store(self, event: PreparedEvent, headers: dict[str, str]) -> tuple[str, int, bool]:
        tries = 0
        while True:
            tries += 1
            try:
                ack = await self._jetstream.publish(event.subject, event.body, timeout=self._timeout_s, headers=dict(headers))
                return ack.stream, ack.seq, bool(ack.duplicate)
            except nats.errors.TimeoutError as error:
                # It may have been stored: the same message id again is harmless.
                if tries == 1:
                    continue
                raise self._failed(event, f"no acknowledgement within {self._timeout_s} s") from error
            except NoStreamResponseError as error:
                stream = stream_name(self._subject_prefix, "EVENTS")
                why = f"was Posthorn, which creates {stream}, started with the prefix {quote(self._subject_prefix)}?"
                raise self._failed(event, f"no stream has the subject {event.subject}: {why}") from error
            except nats.errors.Error as error:
                raise self._failed(event, str(error)) from error

    @staticmethod
    def _failed(event: PreparedEvent, why: str) -> PosthornError:
        return PosthornError("PUBLISH_FAILED", f"event {event.id} was not stored: {why}", retryable=True)
