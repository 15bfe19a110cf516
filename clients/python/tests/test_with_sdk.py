"""With an OpenTelemetry SDK. It can't be taken away again in a process, so this file is the last one."""

from __future__ import annotations

from typing import Any

from conftest import eventually
from nats.aio.client import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from posthorn import Publisher

EVENT: dict[str, Any] = {"type": "issue.created", "organization_id": "42", "data": {}}


def test_an_event_carries_the_active_span_and_is_a_child_of_a_given_trace(run: Any) -> None:
    trace.set_tracer_provider(TracerProvider())

    async def scenario(connection: Client) -> None:
        seen: list[str] = []

        async def keep(message: Any) -> None:
            seen.append(message.headers.get("traceparent"))

        await connection.subscribe("app-platform.events.span.*", cb=keep)
        publisher = await Publisher.connect(connection)
        with trace.get_tracer("test").start_as_current_span("request") as span:
            published = await publisher.publish(**{**EVENT, "type": "span.active"})
        context = span.get_span_context()
        assert published.trace_id == f"{context.trace_id:032x}"
        given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        other = await publisher.publish(**{**EVENT, "type": "span.given"}, traceparent=given, tracestate="a=1")
        await eventually(lambda: len(seen) == 2)
        assert seen[0][:36] == f"00-{context.trace_id:032x}-"
        assert seen[0] != f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        assert (other.trace_id, seen[1][:36]) == ("0af7651916cd43dd8448eb211c80319c", given[:36])

    run(scenario)
