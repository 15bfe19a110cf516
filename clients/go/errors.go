package posthorn

import "fmt"

// Code is one of the stable codes of docs/errors.md.
type Code string

const (
	CodeNATSUnreachable Code = "NATS_UNREACHABLE"
	CodeNotFound        Code = "NOT_FOUND"
	CodePublishFailed   Code = "PUBLISH_FAILED"
	CodePublishInvalid  Code = "PUBLISH_INVALID"
	CodeRecordInvalid   Code = "RECORD_INVALID"
	CodeWebhookInvalid  Code = "WEBHOOK_INVALID"
)

// Error is every fault that this package returns on purpose.
type Error struct {
	Code    Code
	Message string
	// Retryable reports whether the same call may succeed later by itself.
	Retryable bool
	Cause     error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Cause }

func publishInvalid(format string, values ...any) *Error {
	return &Error{Code: CodePublishInvalid, Message: fmt.Sprintf(format, values...)}
}

func webhookInvalid(format string, values ...any) *Error {
	return &Error{Code: CodeWebhookInvalid, Message: fmt.Sprintf(format, values...)}
}
