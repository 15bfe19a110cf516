package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
)

const testUUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f"

var anEvent = Event{Type: "issue.created", OrganizationID: "42", Data: map[string]any{"issue": map[string]any{"id": "1", "<": "&"}}}

func TestPublishTellsWhereTheEventIsAndWhetherItWasThere(t *testing.T) {
	publisher, _ := NewPublisher(connect(t), PublisherOptions{})
	same := anEvent
	same.ID = "same-in-go"
	first, err := publisher.Publish(context.Background(), same)
	if err != nil || first.ID != same.ID || first.Stream != "APP_PLATFORM_EVENTS" || first.Duplicate || first.TraceID != "" {
		t.Fatalf("found %+v, %v", first, err)
	}
	again, err := publisher.Publish(context.Background(), same)
	if err != nil || !again.Duplicate || again.Sequence != first.Sequence {
		t.Errorf("found %+v, %v", again, err)
	}
	made, err := publisher.Publish(context.Background(), anEvent)
	if err != nil || !installationUUID.MatchString(made.ID) {
		t.Errorf("found %+v, %v", made, err)
	}
}

func TestGoValuesThatAreNoEventAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"data: json: unsupported value":     func(e *Event) { e.Data = map[string]float64{"n": math.NaN()} },
		"data: json: unsupported type":      func(e *Event) { e.Data = map[string]any{"f": func() {}} },
		"data: found null, wanted":          func(e *Event) { e.Data = map[string]any(nil) },
		"data: found a number":              func(e *Event) { e.Data = 7 },
		"id: found \"a\ufffd\", wanted wel": func(e *Event) { e.ID = "a\xff" },
		"data: not valid JSON":              func(e *Event) { e.Data = json.RawMessage("{\"a\":\"\xff\"}") },
	} {
		event := anEvent
		change(&event)
		if _, err := prepare(event, "app-platform", 256); err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), `\ufffd`, "\ufffd"), name) {
			t.Errorf("found %v, wanted %s", err, name)
		}
	}
	prepared, err := prepare(anEvent, "app-platform", 256)
	if err != nil || !strings.Contains(string(prepared.body), `"<":"&"`) {
		t.Errorf("found %s, %v", prepared.body, err)
	}
}

func TestNoStreamAndAnEndedContextAreNamed(t *testing.T) {
	connection := connect(t)
	publisher, _ := NewPublisher(connection, PublisherOptions{SubjectPrefix: "nobody"})
	_, err := publisher.Publish(context.Background(), anEvent)
	var fault *Error
	if !errors.As(err, &fault) || fault.Code != CodePublishFailed || !fault.Retryable || !errors.Is(err, nats.ErrNoResponders) || !strings.Contains(err.Error(), "was Posthorn, which creates NOBODY_EVENTS, started") {
		t.Errorf("found %v", err)
	}
	_, err = SubscribeStatus(context.Background(), connection, StatusOptions{Durable: "x", SubjectPrefix: "nobody"}, nil)
	if !errors.As(err, &fault) || fault.Code != CodeNotFound || !strings.Contains(err.Error(), "can't follow NOBODY_STATUS: was Posthorn started") {
		t.Errorf("found %v", err)
	}
	_, err = SubscribeStatus(context.Background(), connection, StatusOptions{Durable: "x", APIPrefix: "POSTHORN.API"}, nil)
	if !errors.As(err, &fault) || fault.Code != CodeNATSUnreachable || !strings.Contains(err.Error(), "no JetStream answers under POSTHORN.API") {
		t.Errorf("found %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = publisher.Publish(ended, anEvent); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

func TestAnEventCarriesTheSpanOfItsContext(t *testing.T) {
	connection := connect(t)
	messages := spy(t, connection)
	publisher, _ := NewPublisher(connection, PublisherOptions{})
	parent := parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	published, err := publisher.Publish(trace.ContextWithSpanContext(context.Background(), parent), anEvent)
	if err != nil || published.TraceID != parent.TraceID().String() {
		t.Errorf("found %+v, %v", published, err)
	}
	message, err := messages.NextMsg(patience)
	if err != nil || !strings.HasPrefix(message.Header.Get("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("found %v, %v", message.Header, err)
	}
}

// status announces status events of one app, and follows them.
type status struct {
	t          *testing.T
	connection *nats.Conn
	app        string
	number     int
	mutex      sync.Mutex
	seen       []string
}

func (s *status) announce(eventType, uuid string) string {
	s.number++
	id := fmt.Sprintf("%s:%d", s.app, s.number)
	data, subject := map[string]string{"app": s.app}, "app-platform.status."+eventType+"."+s.app
	if !strings.HasPrefix(eventType, "circuit.") {
		data["installation_uuid"] = uuid
		subject += "." + uuid
	}
	text, _ := json.Marshal(map[string]any{"id": id, "type": eventType, "data": data})
	publishStatus(s.t, s.connection, subject, string(text))
	return id
}

func (s *status) disable() string { return s.announce("integration.disabled", testUUID) }

func (s *status) note(_ context.Context, event StatusEvent, _ StatusDelivery) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen = append(s.seen, event.ID)
	return nil
}

func (s *status) follow(options StatusOptions, handler StatusHandler) *StatusSubscription {
	s.t.Helper()
	subscription, err := SubscribeStatus(context.Background(), s.connection, options, handler)
	if err != nil {
		s.t.Fatal(err)
	}
	return subscription
}

func (s *status) all() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.seen)
}

func (s *status) until(count int) []string {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d events", count), func() bool { return len(s.all()) >= count })
	return s.all()
}

func (s *status) expect(wanted ...string) {
	s.t.Helper()
	if found := s.until(len(wanted)); !slices.Equal(found, wanted) {
		s.t.Errorf("found %v, wanted %v", found, wanted)
	}
}

func stop(t *testing.T, subscription *StatusSubscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := subscription.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestADurableSubscriptionGoesOnWhereTheLastOneStopped(t *testing.T) {
	s := &status{t: t, connection: connect(t), app: "go-catch-up"}
	early := s.disable()
	first := s.follow(StatusOptions{Durable: s.app, App: s.app}, s.note)
	one := s.disable()
	s.expect(one)
	stop(t, first)
	two := s.announce("circuit.opened", "")
	second := s.follow(StatusOptions{Durable: s.app, App: s.app}, s.note)
	s.expect(one, two)
	stop(t, second)
	once := s.follow(StatusOptions{App: s.app, StartAt: StartAll}, s.note)
	s.expect(one, two, early, one, two)
	stop(t, once)
	if _, err := once.consumer.info(context.Background()); err == nil {
		t.Error("the consumer without a name is still there")
	}
}

func TestASubscriptionFiltersWhatTheSubjectLetsThrough(t *testing.T) {
	s := &status{t: t, connection: connect(t), app: "go-filter"}
	other := "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f"
	a := s.disable()
	s.announce("circuit.opened", "")
	c := s.announce("integration.enabled", other)
	two := s.follow(StatusOptions{Durable: s.app, App: s.app, StartAt: StartAll, Changes: []StatusEventType{IntegrationDisabled, IntegrationEnabled}}, s.note)
	s.expect(a, c)
	stop(t, two)
	one := s.follow(StatusOptions{Durable: s.app + "-1", InstallationUUID: strings.ToUpper(other), App: s.app, StartAt: StartFrom(time.Unix(0, 0))}, s.note)
	s.expect(a, c, c)
	stop(t, one)
	// The consumer of a name is changed to what is asked for now.
	changed := s.follow(StatusOptions{Durable: s.app, App: s.app, MaxInFlight: 4}, s.note)
	d := s.announce("circuit.closed", "")
	s.expect(a, c, c, d)
	stop(t, changed)
}

func TestAnEventWhoseHandlerFailsComesAgainBeforeTheNext(t *testing.T) {
	s := &status{t: t, connection: connect(t), app: "go-again"}
	one, two := s.disable(), s.disable()
	problems := make(chan error, 10)
	failed := false
	subscription := s.follow(StatusOptions{Durable: s.app, App: s.app, StartAt: StartAll, OnError: func(err error) { problems <- err }},
		func(ctx context.Context, event StatusEvent, delivery StatusDelivery) error {
			event.ID = fmt.Sprintf("%s %d", event.ID, delivery.Redelivered)
			_ = s.note(ctx, event, delivery)
			if !failed {
				failed = true
				return errors.New("not now")
			}
			return nil
		})
	s.expect(one+" 0", one+" 1", two+" 0")
	stop(t, subscription)
	if problem := <-problems; problem.Error() != "not now" {
		t.Errorf("found %v", problem)
	}
}

func TestWithSeveralAtOnceTheOthersGoOnAndStopWaits(t *testing.T) {
	s := &status{t: t, connection: connect(t), app: "go-crowd"}
	poison := s.disable()
	wanted := []string{}
	for range 5 {
		wanted = append(wanted, s.disable())
	}
	running, mayEnd := make(chan struct{}, 100), make(chan struct{})
	subscription := s.follow(StatusOptions{Durable: s.app, App: s.app, StartAt: StartAll, MaxInFlight: 3},
		func(ctx context.Context, event StatusEvent, delivery StatusDelivery) error {
			if event.ID == poison {
				return errors.New("never")
			}
			running <- struct{}{}
			<-mayEnd
			return s.note(ctx, event, delivery)
		})
	eventually(t, "3 run", func() bool { return len(running) == 3 })
	for range 2 {
		mayEnd <- struct{}{}
	}
	eventually(t, "5 have begun", func() bool { return len(running) == 5 })
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := subscription.Stop(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("did not wait for handlers: %v", err)
	}
	close(mayEnd)
	stop(t, subscription)
	found := s.all()
	slices.Sort(found)
	if !slices.Equal(found, wanted) {
		t.Errorf("found %v, wanted %v", found, wanted)
	}
}

func TestADeletedConsumerIsMadeAgainBehindWhatWasHandled(t *testing.T) {
	for _, most := range []int{1, 4} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			s := &status{t: t, connection: connect(t), app: fmt.Sprintf("go-deleted-%d", most)}
			s.disable()
			subscription := s.follow(StatusOptions{Durable: s.app, App: s.app, MaxInFlight: most}, s.note)
			remove := func() {
				if err := subscription.consumer.delete(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			remove()
			one := s.disable()
			s.expect(one)
			remove()
			two := s.disable()
			s.expect(one, two)
			stop(t, subscription)
		})
	}
}

func TestASubscriptionEndsWithItsContext(t *testing.T) {
	s := &status{t: t, connection: connect(t), app: "go-context"}
	ctx, cancel := context.WithCancel(context.Background())
	subscription, err := SubscribeStatus(ctx, s.connection, StatusOptions{Durable: s.app, App: s.app}, s.note)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-subscription.Done():
	case <-time.After(patience):
		t.Fatal("it continues")
	}
}
