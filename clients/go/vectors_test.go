package posthorn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

type eventVector struct {
	Name     string
	Tags     []string
	Event    map[string]json.RawMessage
	Refused  string
	Accepted *struct {
		Subject   string
		MessageID string `json:"message_id"`
		Body      map[string]any
		BodyHas   string `json:"body_has"`
	}
}

// event returns false where Go's types can't say what the vector has.
func (v eventVector) event() (Event, bool) {
	for _, tag := range []string{"lone-surrogate", "wrong-type", "empty"} {
		// The type is checked even where it is empty.
		if slices.Contains(v.Tags, tag) && v.Event["type"] != nil {
			return Event{}, false
		}
	}
	event := Event{
		Type: textOf(v.Event["type"]), ID: textOf(v.Event["id"]), InstallationUUID: textOf(v.Event["installation_uuid"]),
		App: textOf(v.Event["app"]), OccurredAtText: textOf(v.Event["occurred_at"]),
		OrganizationID: strings.Trim(string(v.Event["organization_id"]), `"`), ProjectID: strings.Trim(string(v.Event["project_id"]), `"`),
	}
	if strings.HasPrefix(string(v.Event["organization_id"]), `"`) {
		event.OrganizationID = textOf(v.Event["organization_id"])
	}
	if event.OrganizationID == "null" {
		event.OrganizationID = ""
	}
	if event.ProjectID == "null" {
		event.ProjectID = ""
	}
	if data, isThere := v.Event["data"]; isThere {
		event.Data = data
	}
	if text, isThere := v.Event["data_json"]; isThere {
		event.Data = json.RawMessage(textOf(text))
	}
	if actor := v.Event["actor"]; actor != nil && string(actor) != "null" {
		event.Actor = actor
	}
	return event, true
}

// comparableBody has what a body says: without what is null, and integer ids as the text that Go sends.
func comparableBody(body map[string]any) map[string]any {
	result := map[string]any{}
	for name, value := range body {
		if number, isNumber := value.(float64); isNumber && name != "data" {
			written, _ := json.Marshal(number)
			value = string(written)
		}
		if value != nil {
			result[name] = value
		}
	}
	return result
}

// spy hands out what is published as others see it, stored or not.
func spy(t *testing.T, connection *nats.Conn) *nats.Subscription {
	t.Helper()
	messages, err := connection.SubscribeSync("app-platform.events.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestEvents(t *testing.T) {
	var vectors struct{ Cases []eventVector }
	readVectors(t, "events", &vectors)
	connection := connect(t)
	messages := spy(t, connection)
	publisher, err := NewPublisher(connection, PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, vector := range vectors.Cases {
		event, canBeSaid := vector.event()
		if !canBeSaid {
			continue
		}
		ran++
		t.Run(vector.Name, func(t *testing.T) {
			_, err := publisher.Publish(context.Background(), event)
			if vector.Accepted == nil {
				var fault *Error
				if !errors.As(err, &fault) || fault.Code != CodePublishInvalid || !strings.Contains(fault.Message, vector.Refused) {
					t.Fatalf("found %v, wanted %s", err, vector.Refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			message, err := messages.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			if message.Subject != vector.Accepted.Subject || message.Header.Get("Nats-Msg-Id") != vector.Accepted.MessageID {
				t.Errorf("found %s and %s", message.Subject, message.Header.Get("Nats-Msg-Id"))
			}
			if !strings.Contains(string(message.Data), vector.Accepted.BodyHas) {
				t.Errorf("%s has no %s", message.Data, vector.Accepted.BodyHas)
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(message.Data, &members); err != nil {
				t.Fatal(err)
			}
			if vector.Accepted.BodyHas != "" {
				// It has a number that no float holds.
				delete(members, "data")
			}
			rest, _ := json.Marshal(members)
			var body map[string]any
			if err := json.Unmarshal(rest, &body); err != nil {
				t.Fatal(err)
			}
			if found, wanted := comparableBody(body), comparableBody(vector.Accepted.Body); !reflect.DeepEqual(found, wanted) {
				t.Errorf("found %v, wanted %v", found, wanted)
			}
		})
	}
	if ran < 60 {
		t.Errorf("only %d vectors ran", ran)
	}
}

func TestIdentity(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Kind, Type, Source, ID string
			InstallationUUID       string `json:"installation_uuid"`
			MessageID              string `json:"message_id"`
			DeliveryID             string `json:"delivery_id"`
		}
	}
	readVectors(t, "identity", &vectors)
	for _, vector := range vectors.Cases {
		found := DeliveryID(vector.Type, vector.ID, vector.InstallationUUID)
		if vector.Kind == "ce" {
			found = CloudEventDeliveryID(vector.Source, vector.ID, vector.InstallationUUID)
		}
		messageID := "evt_" + digest(eventKey(vector.Type, vector.Source, vector.ID))
		if found != vector.DeliveryID || messageID != vector.MessageID {
			t.Errorf("%s %s%s: found %s and %s", vector.ID, vector.Type, vector.Source, found, messageID)
		}
	}
}

func TestTraceparents(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Name, Traceparent, Tracestate string
			Read                          *struct {
				TraceID   string `json:"trace_id"`
				SpanID    string `json:"span_id"`
				IsSampled bool   `json:"is_sampled"`
			}
			Published map[string]string
		}
	}
	readVectors(t, "traceparent", &vectors)
	connection := connect(t)
	messages := spy(t, connection)
	publisher, _ := NewPublisher(connection, PublisherOptions{})
	for _, vector := range vectors.Cases {
		t.Run(vector.Name, func(t *testing.T) {
			read := parseTraceparent(vector.Traceparent, vector.Tracestate)
			if read.IsValid() != (vector.Read != nil) {
				t.Fatalf("found %v", read)
			}
			if vector.Read != nil && (read.TraceID().String() != vector.Read.TraceID || read.SpanID().String() != vector.Read.SpanID || read.IsSampled() != vector.Read.IsSampled) {
				t.Errorf("found %v", read)
			}
			event := Event{Type: "issue.created", OrganizationID: "42", Data: map[string]any{}, Traceparent: vector.Traceparent, Tracestate: vector.Tracestate}
			if _, err := publisher.Publish(context.Background(), event); err != nil {
				t.Fatal(err)
			}
			message, err := messages.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"traceparent", "tracestate"} {
				if found := message.Header.Get(name); found != vector.Published[name] {
					t.Errorf("%s: found %q, wanted %q", name, found, vector.Published[name])
				}
			}
		})
	}
}

type optionsVector struct {
	Durable          *string
	SubjectPrefix    *string `json:"subject_prefix"`
	APIPrefix        *string `json:"api_prefix"`
	App              *string
	InstallationUUID *string `json:"installation_uuid"`
	Changes          []StatusEventType
	MaxInFlight      int `json:"max_in_flight"`
}

// options returns false where an option is given and empty, which for Go is not given.
func (v optionsVector) options() (StatusOptions, bool) {
	isEmpty := false
	text := func(given *string) string {
		if given == nil {
			return ""
		}
		isEmpty = isEmpty || *given == ""
		return *given
	}
	options := StatusOptions{
		Durable: text(v.Durable), SubjectPrefix: text(v.SubjectPrefix), APIPrefix: text(v.APIPrefix), App: text(v.App),
		InstallationUUID: text(v.InstallationUUID), Changes: v.Changes, MaxInFlight: v.MaxInFlight,
	}
	return options, !isEmpty
}

func TestSubjects(t *testing.T) {
	var vectors struct {
		Streams []struct {
			SubjectPrefix string `json:"subject_prefix"`
			Events        string
			Status        string
		}
		Events []struct {
			SubjectPrefix string `json:"subject_prefix"`
			Type, Subject string
		}
		Filters []struct {
			Options optionsVector
			Subject string
		}
		Refused []struct {
			Options optionsVector
			Option  string
		}
		BackoffS []float64 `json:"backoff_s"`
	}
	readVectors(t, "subjects", &vectors)
	for _, vector := range vectors.Streams {
		if streamName(vector.SubjectPrefix, "EVENTS") != vector.Events || streamName(vector.SubjectPrefix, "STATUS") != vector.Status {
			t.Errorf("streams of %s", vector.SubjectPrefix)
		}
	}
	for _, vector := range vectors.Events {
		prepared, err := prepare(Event{Type: vector.Type, OrganizationID: "42", Data: map[string]any{}}, vector.SubjectPrefix, 256)
		if err != nil || prepared.subject != vector.Subject {
			t.Errorf("found %s (%v), wanted %s", prepared.subject, err, vector.Subject)
		}
	}
	for _, vector := range vectors.Filters {
		options, _ := vector.Options.options()
		checked, err := options.checked()
		if err != nil || checked.filterSubject() != vector.Subject {
			t.Errorf("found %s (%v), wanted %s", checked.filterSubject(), err, vector.Subject)
		}
	}
	for _, vector := range vectors.Refused {
		options, canBeSaid := vector.Options.options()
		if !canBeSaid {
			continue
		}
		_, err := SubscribeStatus(context.Background(), nil, options, nil)
		var fault *Error
		if !errors.As(err, &fault) || fault.Code != CodePublishInvalid || !strings.HasPrefix(fault.Message, vector.Option+": found ") {
			t.Errorf("%+v: found %v", options, err)
		}
		if _, err := NewPublisher(nil, PublisherOptions{SubjectPrefix: options.SubjectPrefix}); vector.Option == "subject_prefix" && err == nil {
			t.Errorf("%q was taken", options.SubjectPrefix)
		}
	}
	for at, seconds := range vectors.BackoffS {
		if found := backoff(uint64(at + 1)); found.Seconds() != seconds {
			t.Errorf("failure %d: found %v, wanted %v s", at+1, found, seconds)
		}
	}
}

func TestSignatures(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Name                   string
			Body                   string
			BodyBase64             string `json:"body_base64"`
			Headers                map[string]string
			Secrets                []string
			Now                    int64
			ToleranceS             int64  `json:"tolerance_s"`
			HeaderPrefix           string `json:"header_prefix"`
			AllowUnsignedTimestamp bool   `json:"allow_unsigned_timestamp"`
			Refused                string
			Verified               *struct {
				DeliveryID       *string `json:"delivery_id"`
				Resource         *string
				Action           string
				InstallationUUID string `json:"installation_uuid"`
			}
		}
	}
	readVectors(t, "signatures", &vectors)
	for _, vector := range vectors.Cases {
		t.Run(vector.Name, func(t *testing.T) {
			body := []byte(vector.Body)
			if vector.BodyBase64 != "" {
				body, _ = base64.StdEncoding.DecodeString(vector.BodyBase64)
			}
			header := http.Header{}
			for name, value := range vector.Headers {
				header.Set(name, value)
			}
			webhook, err := VerifyWebhook(WebhookInput{
				Body: body, Header: header, Secrets: vector.Secrets, Now: time.Unix(vector.Now, 0), HeaderPrefix: vector.HeaderPrefix,
				Tolerance: time.Duration(vector.ToleranceS) * time.Second, AllowUnsignedTimestamp: vector.AllowUnsignedTimestamp,
			})
			if vector.Verified == nil {
				var fault *Error
				// Each client names the option in its own spelling.
				wanted := strings.ReplaceAll(vector.Refused, "allow_unsigned_timestamp", "AllowUnsignedTimestamp")
				if !errors.As(err, &fault) || fault.Code != CodeWebhookInvalid || !strings.Contains(fault.Message, wanted) {
					t.Fatalf("found %v, wanted %s", err, wanted)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text := func(value *string) string {
				if value == nil {
					return ""
				}
				return *value
			}
			wanted := vector.Verified
			found := []string{webhook.DeliveryID, webhook.Resource, webhook.Action, webhook.InstallationUUID}
			if !slices.Equal(found, []string{text(wanted.DeliveryID), text(wanted.Resource), wanted.Action, wanted.InstallationUUID}) {
				t.Errorf("found %v", found)
			}
			if kindOf(webhook.Data) != "an object" || kindOf(webhook.Actor) != "an object" {
				t.Errorf("found %s and %s", webhook.Data, webhook.Actor)
			}
		})
	}
}

func TestStatusEvents(t *testing.T) {
	var vectors struct {
		Events []struct {
			Subject string
			Event   json.RawMessage
		}
		NotEvents []string `json:"not_events"`
	}
	readVectors(t, "status-events", &vectors)
	connection := connect(t)
	ctx := context.Background()
	type heard struct {
		event    StatusEvent
		delivery StatusDelivery
	}
	events, problems := make(chan heard, 100), make(chan error, 100)
	subscription, err := SubscribeStatus(ctx, connection, StatusOptions{Durable: "vectors", OnError: func(err error) { problems <- err }},
		func(_ context.Context, event StatusEvent, delivery StatusDelivery) error {
			events <- heard{event, delivery}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range vectors.NotEvents {
		publishStatus(t, connection, "app-platform.status.integration.broken.acme-tracker.x", text)
	}
	for _, vector := range vectors.Events {
		publishStatus(t, connection, vector.Subject, string(vector.Event))
	}
	eventually(t, "all are heard", func() bool { return len(events) == len(vectors.Events) })
	if err := subscription.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	types := map[StatusEventType]bool{}
	for _, vector := range vectors.Events {
		found := <-events
		types[found.event.Type] = true
		wanted, _ := readStatusEvent(vector.Event)
		if !reflect.DeepEqual(found.event, wanted) && !sameEvent(found.event, wanted) {
			t.Errorf("found %+v, wanted %+v", found.event, wanted)
		}
		if found.delivery.Subject != vector.Subject {
			t.Errorf("found %s, wanted %s", found.delivery.Subject, vector.Subject)
		}
		checkData(t, found.event)
	}
	if len(types) != len(StatusEventTypes()) {
		t.Errorf("found only %v", types)
	}
	for range vectors.NotEvents {
		if problem := <-problems; !strings.HasSuffix(problem.Error(), "is no status event; it is skipped") {
			t.Errorf("found %v", problem)
		}
	}
}

func sameEvent(one, other StatusEvent) bool {
	one.Data, other.Data = nil, nil
	return reflect.DeepEqual(one, other)
}

// checkData reads the data by type, and finds what all of a kind have.
func checkData(t *testing.T, event StatusEvent) {
	t.Helper()
	var app string
	var err error
	switch event.Type {
	case IntegrationBroken:
		data, failed := event.Broken()
		app, err = data.App, failed
		if data.Reason.Rule != "failing_days" || len(data.Reason.Days) != 7 || *data.Reason.LastResponseCode != 500 {
			t.Errorf("found %+v", data)
		}
	case IntegrationRecovered, IntegrationDisabled, IntegrationEnabled:
		data, failed := event.Integration()
		app, err = data.App, failed
		if data.Reason.By == "" {
			t.Errorf("found %+v", data)
		}
	case CircuitOpened, CircuitClosed:
		data, failed := event.Circuit()
		app, err = data.App, failed
		if (data.Reason == nil) != (event.Type == CircuitClosed) {
			t.Errorf("found %+v", data)
		}
	case AppFailing, AppHealthy:
		data, failed := event.AppHealth()
		app, err = data.App, failed
		if data.ByCode["404"]+data.ByCode["0"] != data.Failures || data.LastSuccessAt == nil {
			t.Errorf("found %+v", data)
		}
	case AppThrottled:
		data, failed := event.Throttled()
		app, err = data.App, failed
		if data.Until == "" {
			t.Errorf("found %+v", data)
		}
	case AppReleased:
		data, failed := event.Released()
		app, err = data.App, failed
		if data.ThrottledAt == "" {
			t.Errorf("found %+v", data)
		}
	case DeliverySuppressed:
		data, failed := event.Suppressed()
		app, err = data.App, failed
		if data.Count != 200 {
			t.Errorf("found %+v", data)
		}
	default:
		data, failed := event.GivenUp()
		app, err = data.App, failed
		if data.EventType != "issue.created" {
			t.Errorf("found %+v", data)
		}
	}
	if err != nil || app != "acme-tracker" {
		t.Errorf("%s: found %s, %v", event.Type, app, err)
	}
}

func publishStatus(t *testing.T, connection *nats.Conn, subject, text string) {
	t.Helper()
	if _, err := connection.Request(subject, []byte(text), patience); err != nil {
		t.Fatal(err)
	}
}
