package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	ackWait = 30 * time.Second
	// forgottenAfter: the server deletes the consumer of an unnamed subscription after this much inactivity.
	forgottenAfter = 5 * time.Minute
	// mostWaiting: events waiting for redelivery count as pending acknowledgement; a limit near the number of handlers would
	// block all others.
	mostWaiting    = 10_000
	requestTimeout = 5 * time.Second
)

// statusConsumer is the durable consumer of a status subscription. It asks JetStream's API itself.
type statusConsumer struct {
	connection *nats.Conn
	prefix     string
	apiPrefix  string
	name       string
	isDurable  bool
	filter     string
	maxPending int
}

type sequencePair struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

type consumerInfo struct {
	Created   string         `json:"created"`
	Config    map[string]any `json:"config"`
	Delivered sequencePair   `json:"delivered"`
	AckFloor  sequencePair   `json:"ack_floor"`
}

// apiError is an error that JetStream answered.
type apiError struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return e.Description }

// errNotAllowed: nobody answers there, or the server refused the request.
var errNotAllowed = errors.New("the account may not ask for it")

func (c *statusConsumer) stream() string { return streamName(c.prefix, "STATUS") }

func (c *statusConsumer) subject(verb string) string {
	return fmt.Sprintf("%s.CONSUMER.%s.%s.%s", c.apiPrefix, verb, c.stream(), c.name)
}

func (c *statusConsumer) info(ctx context.Context) (consumerInfo, error) {
	return c.request(ctx, "INFO", nil)
}

func (c *statusConsumer) delete(ctx context.Context) error {
	_, err := c.request(ctx, "DELETE", nil)
	return err
}

// ensure finds the consumer, changes it to what is asked for now, or makes it where start says. NOT_FOUND: there is no status
// stream, or an operator has to create the consumer.
func (c *statusConsumer) ensure(ctx context.Context, start map[string]any) (consumerInfo, error) {
	found, err := c.info(ctx)
	var fault *apiError
	switch {
	case err == nil:
		// JSON numbers are floats.
		if found.Config["filter_subject"] == c.filter && found.Config["max_ack_pending"] == float64(c.maxPending) {
			return found, nil
		}
		has := fmt.Sprintf("has filter %v and max_ack_pending %v", found.Config["filter_subject"], found.Config["max_ack_pending"])
		return c.create(ctx, found.Config, has)
	case errors.Is(err, errNotAllowed):
		text := fmt.Sprintf("%s: no JetStream answers under %s (%v)", c.stream(), c.apiPrefix, err)
		return found, &Error{Code: CodeNATSUnreachable, Message: text, Retryable: true, Cause: err}
	case !errors.As(err, &fault) || fault.Code != 404:
		return found, err
	}
	config := map[string]any{
		"durable_name": c.name, "name": c.name, "ack_policy": "explicit", "ack_wait": ackWait.Nanoseconds(), "max_deliver": -1,
	}
	if !c.isDurable {
		config["inactive_threshold"] = forgottenAfter.Nanoseconds()
	}
	for name, value := range start {
		config[name] = value
	}
	return c.create(ctx, config, "does not exist")
}

func (c *statusConsumer) create(ctx context.Context, config map[string]any, found string) (consumerInfo, error) {
	config["filter_subject"], config["max_ack_pending"] = c.filter, c.maxPending
	made, err := c.request(ctx, "CREATE", map[string]any{"stream_name": c.stream(), "config": config})
	var fault *apiError
	switch {
	case errors.Is(err, errNotAllowed):
		// A consumer can publish what it gets to any subject: an account that only follows may not make one.
		text := fmt.Sprintf("consumer %s of %s %s, wanted filter %s and max_ack_pending %d; this account may not create or change it; ask an operator",
			c.name, c.stream(), found, c.filter, c.maxPending)
		return made, &Error{Code: CodeNotFound, Message: text, Retryable: true, Cause: err}
	case errors.As(err, &fault):
		text := fmt.Sprintf("can't follow %s: was Posthorn started with the prefix %q? (%v)", c.stream(), c.prefix, err)
		return made, &Error{Code: CodeNotFound, Message: text, Retryable: true, Cause: err}
	}
	return made, err
}

func (c *statusConsumer) request(ctx context.Context, verb string, body any) (consumerInfo, error) {
	subject, payload := c.subject(verb), []byte{}
	if body != nil {
		payload, _ = json.Marshal(body)
	}
	once, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := c.connection.RequestWithContext(once, subject, payload)
	if err != nil {
		refused := c.connection.LastError()
		isRefused := errors.Is(err, context.DeadlineExceeded) && refused != nil && strings.Contains(strings.ToLower(refused.Error()), strings.ToLower(subject))
		if isRefused || errors.Is(err, nats.ErrNoResponders) {
			return consumerInfo{}, fmt.Errorf("%w: %w", errNotAllowed, err)
		}
		return consumerInfo{}, &Error{Code: CodeNATSUnreachable, Message: fmt.Sprintf("%s: %v", subject, err), Retryable: true, Cause: err}
	}
	var read struct {
		consumerInfo
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &read); err != nil {
		return consumerInfo{}, &Error{Code: CodeNATSUnreachable, Message: fmt.Sprintf("%s: %v", subject, err), Retryable: true, Cause: err}
	}
	if read.Error != nil {
		return consumerInfo{}, read.Error
	}
	return read.consumerInfo, nil
}

// firstOpen is where a consumer begins that takes the place of this one: nothing before it is left to be acknowledged.
func firstOpen(info consumerInfo) map[string]any {
	if info.AckFloor.Consumer > 0 {
		return fromSequence(info.AckFloor.Stream + 1)
	}
	// Until the first acknowledgement servers before 2.10 say 0, wherever it begins.
	if info.Delivered.Consumer == 0 {
		return fromSequence(info.Delivered.Stream + 1)
	}
	if sequence, isThere := info.Config["opt_start_seq"].(float64); isThere && sequence > 0 {
		return fromSequence(uint64(sequence))
	}
	if at, isThere := info.Config["opt_start_time"].(string); isThere {
		return fromTime(at)
	}
	if info.Config["deliver_policy"] == "new" {
		return fromTime(info.Created)
	}
	return map[string]any{"deliver_policy": "all"}
}

func fromSequence(sequence uint64) map[string]any {
	return map[string]any{"deliver_policy": "by_start_sequence", "opt_start_seq": sequence}
}

func fromTime(at string) map[string]any {
	return map[string]any{"deliver_policy": "by_start_time", "opt_start_time": at}
}
