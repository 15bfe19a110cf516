"""W3C trace context: the caller's, or that of the active OpenTelemetry span where its API is installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_TRACEPARENT_00 = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_LATER = re.compile(
    r"(?!00|ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x20-\x7e]{0,64})?"
)
_TRACESTATE = re.compile(r"[\t\x20-\x7e]{1,512}")
_SAMPLED = 1


@dataclass(frozen=True)
class Trace:
    trace_id: str
    span_id: str
    is_sampled: bool
    tracestate: str | None = None

    def headers(self) -> dict[str, str]:
        # Only the sampled bit of the flags is passed on.
        found = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"}
        return found if self.tracestate is None else {**found, "tracestate": self.tracestate}


def parse_traceparent(traceparent: str | None, tracestate: str | None = None) -> Trace | None:
    """None when there is none, or it is invalid. An invalid tracestate is left out."""
    match = (_TRACEPARENT_00.fullmatch(traceparent) or _LATER.fullmatch(traceparent)) if traceparent else None
    if match is None:
        return None
    state = tracestate if tracestate and _TRACESTATE.fullmatch(tracestate) else None
    return Trace(match[1], match[2], bool(int(match[3], 16) & _SAMPLED), state)


def _opentelemetry() -> Any | None:
    try:
        return importlib.import_module("opentelemetry.trace")
    except ImportError:
        return None


@contextmanager
def publish_span(subject: str, message_id: str, parent: Trace | None) -> Iterator[Trace | None]:
    """The span of one publish, a child of `parent` or of the active span. Yields the trace that the event carries."""
    otel = _opentelemetry()
    if otel is None:
        yield parent
        return
    attributes = {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": subject,
        "messaging.message.id": message_id,
    }
    tracer = otel.get_tracer("posthorn")
    context = None if parent is None else _context_of(otel, parent)
    with tracer.start_as_current_span(
        f"publish {subject}", context=context, kind=otel.SpanKind.PRODUCER, attributes=attributes
    ) as span:
        yield _trace_of(span.get_span_context())


def _context_of(otel: Any, parent: Trace) -> Any:
    state = [] if parent.tracestate is None else otel.TraceState.from_header([parent.tracestate]).items()
    span_context = otel.SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(_SAMPLED if parent.is_sampled else 0),
        trace_state=otel.TraceState(state),
    )
    return otel.set_span_in_context(otel.NonRecordingSpan(span_context))


def _trace_of(context: Any) -> Trace | None:
    if not context.is_valid:
        return None
    state = context.trace_state.to_header()
    is_sampled = bool(int(context.trace_flags) & _SAMPLED)
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", is_sampled, state or None)
