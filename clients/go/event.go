package posthorn

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultPrefix      = "app-platform"
	defaultMaxIDLength = 256
)

var (
	eventToken       = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
	appSlug          = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	installationUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	subjectPrefix    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)
)

// Event is one thing that happened. A member that is empty is not given.
type Event struct {
	// Type is `<resource>.<action>`, e.g. `issue.created`.
	Type           string
	OrganizationID string
	// Data is anything that encoding/json writes as an object; a json.RawMessage keeps its number text.
	Data any
	// ID is unique per event of a type: publishing the same type and id again within ten minutes stores nothing. A UUID when
	// not given.
	ID               string
	InstallationUUID string
	App              string
	ProjectID        string
	// Actor is anything that encoding/json writes as an object.
	Actor any
	// OccurredAt is now by default. OccurredAtText, an RFC 3339 time, is sent unchanged.
	OccurredAt     time.Time
	OccurredAtText string
	// Traceparent is the W3C trace context to continue; by default that of the context's OpenTelemetry span.
	Traceparent string
	Tracestate  string
}

type preparedEvent struct {
	id, subject, messageID string
	body                   []byte
}

type wireEvent struct {
	ID               string          `json:"id"`
	OrganizationID   string          `json:"organization_id"`
	InstallationUUID string          `json:"installation_uuid,omitempty"`
	App              string          `json:"app,omitempty"`
	ProjectID        string          `json:"project_id,omitempty"`
	Actor            json.RawMessage `json:"actor,omitempty"`
	OccurredAt       string          `json:"occurred_at"`
	Data             json.RawMessage `json:"data"`
}

// prepare turns an event into its message on the bus, or names the member that is wrong. It is tested with clients/vectors.
func prepare(event Event, prefix string, maxIDLength int) (preparedEvent, error) {
	if err := checkType(event.Type); err != nil {
		return preparedEvent{}, err
	}
	if event.ID == "" {
		event.ID = newUUID()
	}
	wire := wireEvent{event.ID, event.OrganizationID, event.InstallationUUID, event.App, event.ProjectID, nil, event.OccurredAtText, nil}
	if wire.OrganizationID == "" {
		return preparedEvent{}, publishInvalid("organization_id: missing, wanted a string or an integer")
	}
	if err := checkMembers(wire, maxIDLength); err != nil {
		return preparedEvent{}, err
	}
	if wire.OccurredAt == "" {
		at := event.OccurredAt
		if at.IsZero() {
			at = time.Now()
		}
		wire.OccurredAt = toRFC3339(at)
	}
	if problem := rfc3339Problem(wire.OccurredAt); problem != "" {
		return preparedEvent{}, publishInvalid("occurred_at: found %s, %s", quote(wire.OccurredAt), problem)
	}
	var err error
	if wire.Data, err = objectText("data", event.Data); err == nil && wire.Data == nil {
		err = publishInvalid("data: missing, wanted an object")
	}
	if err == nil {
		wire.Actor, err = objectText("actor", event.Actor)
	}
	if err != nil {
		return preparedEvent{}, err
	}
	body, err := toJSON(wire)
	if err != nil {
		return preparedEvent{}, publishInvalid("event: %v", err)
	}
	messageID := "evt_" + digest(eventKey(event.Type, "", event.ID))
	return preparedEvent{event.ID, prefix + ".events." + event.Type, messageID, body}, nil
}

func checkType(eventType string) error {
	parts := strings.Split(eventType, ".")
	if len(parts) > 2 {
		return publishInvalid("type: found %s, wanted <resource>.<action>", quote(eventType))
	}
	for at, name := range []string{"resource", "action"} {
		part := ""
		if at < len(parts) {
			part = parts[at]
		}
		if !eventToken.MatchString(part) {
			return publishInvalid("%s in type: found %s, wanted 1 to 64 characters of a-z, 0-9 and _", name, quote(part))
		}
	}
	return nil
}

func checkMembers(wire wireEvent, maxIDLength int) error {
	for _, member := range []struct {
		name, value string
		most        int
		form        *regexp.Regexp
		wanted      string
	}{
		{"id", wire.ID, maxIDLength, nil, ""},
		{"organization_id", wire.OrganizationID, maxIDLength, nil, ""},
		{"project_id", wire.ProjectID, maxIDLength, nil, ""},
		{"installation_uuid", wire.InstallationUUID, 0, installationUUID, "a UUID"},
		{"app", wire.App, 0, appSlug, "an app slug"},
	} {
		if member.value == "" {
			continue
		}
		length := utf16Length(member.value)
		switch {
		case member.most > 0 && length > member.most:
			return publishInvalid("%s: found %d characters, wanted 1 to %d", member.name, length, member.most)
		case !utf8.ValidString(member.value):
			return publishInvalid("%s: found %s, wanted well-formed Unicode", member.name, quote(member.value))
		case hasControlCharacters(member.value):
			return publishInvalid("%s: found %s, wanted no control characters", member.name, quote(member.value))
		case member.form != nil && !member.form.MatchString(member.value):
			return publishInvalid("%s: found %s, wanted %s", member.name, quote(member.value), member.wanted)
		}
	}
	return nil
}

// objectText returns nil for nil.
func objectText(name string, value any) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	text, isText := value.(json.RawMessage)
	if isText && (!json.Valid(text) || !utf8.Valid(text)) {
		return nil, publishInvalid("%s: not valid JSON, wanted an object", name)
	}
	if !isText {
		written, err := toJSON(value)
		if err != nil {
			return nil, &Error{Code: CodePublishInvalid, Message: fmt.Sprintf("%s: %v", name, err), Cause: err}
		}
		text = written
	}
	if kind := kindOf(text); kind != "an object" {
		return nil, publishInvalid("%s: found %s, wanted an object", name, kind)
	}
	return bytes.TrimSpace(text), nil
}

// DeliveryID is the `webhook-id` of a plain event's delivery to an installation.
func DeliveryID(eventType, id, installationUUID string) string {
	return "dlv_" + digest(eventKey(eventType, "", id)+"\n"+installationUUID)
}

// CloudEventDeliveryID is the `webhook-id` of a CloudEvent's delivery to an installation.
func CloudEventDeliveryID(source, id, installationUUID string) string {
	return "dlv_" + digest(eventKey("", source, id)+"\n"+installationUUID)
}

func eventKey(eventType, source, id string) string {
	if source == "" {
		return "ev\n" + eventType + "\n" + id
	}
	return "ce\n" + source + "\n" + id
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:32]
}

func newUUID() string {
	var bits [16]byte
	// It never fails: https://pkg.go.dev/crypto/rand#Read.
	_, _ = rand.Read(bits[:])
	bits[6], bits[8] = bits[6]&0x0f|0x40, bits[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", bits[:4], bits[4:6], bits[6:8], bits[8:10], bits[10:])
}

func checkSubjectPrefix(prefix string) (string, error) {
	if prefix == "" {
		return defaultPrefix, nil
	}
	if !subjectPrefix.MatchString(prefix) {
		return "", publishInvalid("subject_prefix: found %s, wanted 1 to 32 letters, digits, _ and -, as POSTHORN_SUBJECT_PREFIX", quote(prefix))
	}
	return prefix, nil
}

// streamName is `APP_PLATFORM_EVENTS` of `app-platform`.
func streamName(prefix, stream string) string {
	return strings.ReplaceAll(strings.ToUpper(prefix+"_"+stream), "-", "_")
}
