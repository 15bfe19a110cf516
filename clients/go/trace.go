package posthorn

import (
	"context"
	"regexp"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

var (
	traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]{0,64})?$`)
	tracestate  = regexp.MustCompile(`^[\t\x20-\x7e]{1,512}$`)
)

// parseTraceparent returns an invalid context when there is none, or it is invalid. An invalid state is left out.
func parseTraceparent(parent, state string) trace.SpanContext {
	match := traceparent.FindStringSubmatch(parent)
	if match == nil || match[1] == "ff" || (match[1] == "00" && match[5] != "") {
		return trace.SpanContext{}
	}
	traceID, _ := trace.TraceIDFromHex(match[2])
	spanID, _ := trace.SpanIDFromHex(match[3])
	flags, _ := strconv.ParseUint(match[4], 16, 8)
	config := trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true}
	if tracestate.MatchString(state) {
		if parsed, err := trace.ParseTraceState(state); err == nil {
			config.TraceState = parsed
		}
	}
	return trace.NewSpanContext(config)
}

// startPublishSpan starts the span of one publish, a child of the given trace or of the context's span.
func startPublishSpan(ctx context.Context, prepared preparedEvent, parent trace.SpanContext) (context.Context, trace.Span) {
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	return otel.Tracer("posthorn").Start(ctx, "publish "+prepared.subject, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.name", "publish"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", prepared.subject),
		attribute.String("messaging.message.id", prepared.id),
	))
}

// setTrace writes the headers of the span that an event carries. Baggage stays behind: it would go to every receiver.
func setTrace(header nats.Header, span trace.SpanContext) (traceID string) {
	if !span.IsValid() {
		return ""
	}
	flags := "00"
	if span.IsSampled() {
		flags = "01"
	}
	header.Set("traceparent", "00-"+span.TraceID().String()+"-"+span.SpanID().String()+"-"+flags)
	if state := span.TraceState().String(); state != "" {
		header.Set("tracestate", state)
	}
	return span.TraceID().String()
}
