package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
)

const defaultTimeout = 5 * time.Second

// PublisherOptions may be left empty.
type PublisherOptions struct {
	// SubjectPrefix is POSTHORN_SUBJECT_PREFIX of the Posthorn that is to deliver.
	SubjectPrefix string
	// MaxIDLength is POSTHORN_MAX_ID_LENGTH of it, 256 by default.
	MaxIDLength int
	// Timeout is how long each of two tries waits for the acknowledgement, 5 seconds by default.
	Timeout time.Duration
}

// Publisher publishes events: validated before they leave, deduplicated by type and id, acknowledged by JetStream. It may be
// used by several goroutines at once.
type Publisher struct {
	connection  *nats.Conn
	prefix      string
	maxIDLength int
	timeout     time.Duration
}

// PublishedEvent is the result of a publish.
type PublishedEvent struct {
	ID       string
	Stream   string
	Sequence uint64
	// Duplicate: an event of this type and id exists already; this one was not stored.
	Duplicate bool
	// TraceID is that of the trace that the event carries; empty when it carries none and Posthorn starts one.
	TraceID string
}

// NewPublisher uses a connection that stays the caller's. It fails when the subject prefix can't be one.
func NewPublisher(connection *nats.Conn, options PublisherOptions) (*Publisher, error) {
	prefix, err := checkSubjectPrefix(options.SubjectPrefix)
	if err != nil {
		return nil, err
	}
	publisher := &Publisher{connection, prefix, options.MaxIDLength, options.Timeout}
	if publisher.maxIDLength <= 0 {
		publisher.maxIDLength = defaultMaxIDLength
	}
	if publisher.timeout <= 0 {
		publisher.timeout = defaultTimeout
	}
	return publisher, nil
}

// Publish returns when the event is stored. The error is an *Error: PUBLISH_INVALID naming the member, or PUBLISH_FAILED when
// JetStream did not acknowledge.
func (p *Publisher) Publish(ctx context.Context, event Event) (PublishedEvent, error) {
	prepared, err := prepare(event, p.prefix, p.maxIDLength)
	if err != nil {
		return PublishedEvent{}, err
	}
	ctx, span := startPublishSpan(ctx, prepared, parseTraceparent(event.Traceparent, event.Tracestate))
	defer span.End()
	message := nats.NewMsg(prepared.subject)
	message.Data = prepared.body
	message.Header.Set("Nats-Msg-Id", prepared.messageID)
	traceID := setTrace(message.Header, span.SpanContext())
	published, err := p.store(ctx, message)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		text := fmt.Sprintf("event %s was not stored: %s", prepared.id, p.explain(err, prepared.subject))
		return PublishedEvent{}, &Error{Code: CodePublishFailed, Message: text, Retryable: true, Cause: err}
	}
	published.ID, published.TraceID = prepared.id, traceID
	return published, nil
}

func (p *Publisher) store(ctx context.Context, message *nats.Msg) (PublishedEvent, error) {
	for tries := 1; ; tries++ {
		once, cancel := context.WithTimeout(ctx, p.timeout)
		answer, err := p.connection.RequestMsgWithContext(once, message)
		cancel()
		if err == nil {
			return readAck(answer.Data)
		}
		// It may have been stored: the same message id again is harmless.
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || tries > 1 {
			return PublishedEvent{}, err
		}
	}
}

func readAck(data []byte) (PublishedEvent, error) {
	var ack struct {
		Stream    string
		Seq       uint64
		Duplicate bool
		Error     *struct{ Description string }
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return PublishedEvent{}, fmt.Errorf("the acknowledgement can't be read: %w", err)
	}
	if ack.Error != nil {
		return PublishedEvent{}, errors.New(ack.Error.Description)
	}
	if ack.Stream == "" {
		return PublishedEvent{}, errors.New("the answer is no acknowledgement of JetStream")
	}
	return PublishedEvent{Stream: ack.Stream, Sequence: ack.Seq, Duplicate: ack.Duplicate}, nil
}

func (p *Publisher) explain(err error, subject string) string {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Sprintf("no stream has the subject %s: was Posthorn, which creates %s, started with the prefix %q?", subject, streamName(p.prefix, "EVENTS"), p.prefix)
	}
	return err.Error()
}
