package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	pullFor        = 10 * time.Second
	againAfter     = 500 * time.Millisecond
	longestBackoff = 5 * time.Minute
	// askEvery is how often the server is asked what is acknowledged.
	askEvery = 10 * time.Second
	// mostHandled events are remembered, in case their consumer is deleted before the server knows that they were handled.
	mostHandled = 10_000
)

// StatusDelivery describes one delivery of an event.
type StatusDelivery struct {
	// Subject is the NATS subject.
	Subject  string
	Sequence uint64
	// Redelivered is the number of earlier deliveries of the event.
	Redelivered uint64
}

// StatusHandler handles one event. When it returns an error, the event is redelivered after growing delays.
type StatusHandler func(ctx context.Context, event StatusEvent, delivery StatusDelivery) error

// StatusSubscription follows status events through a consumer, at least once.
//
//   - SUBSCRIBE-1: With a durable name a subscriber catches up after a restart.
//   - SUBSCRIBE-2: With MaxInFlight 1 events arrive in order, and one that waits for redelivery blocks the next ones. With more
//     they don't wait for each other.
//   - SUBSCRIBE-3: A deleted consumer is recreated after the last event that all processes of its name had acknowledged; events
//     that this process has handled since its last update are not handled again.
//   - SUBSCRIBE-4: An event is acknowledged when the handler has returned nil, and redelivered after growing delays if it failed.
type StatusSubscription struct {
	connection *nats.Conn
	options    StatusOptions
	consumer   *statusConsumer
	handler    StatusHandler
	handlerCtx context.Context
	cancel     context.CancelFunc
	done       chan struct{}
	running    sync.WaitGroup
	places     chan struct{}

	// resumeAt: everything before it is acknowledged, by any process. Only the loop uses it.
	resumeAt map[string]any
	askedAt  time.Time
	mutex    sync.Mutex
	// handled has what was handled here and is behind that: sequence → when the server stored it.
	handled map[uint64]time.Time
}

// SubscribeStatus calls the handler for status events, at least once each, until ctx ends or Stop is called. The connection stays
// the caller's. The error is an *Error: PUBLISH_INVALID naming a wrong option, NATS_UNREACHABLE, or NOT_FOUND when there is no
// status stream.
func SubscribeStatus(ctx context.Context, connection *nats.Conn, options StatusOptions, handler StatusHandler) (*StatusSubscription, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	consumer := &statusConsumer{
		connection: connection, prefix: options.SubjectPrefix, apiPrefix: options.APIPrefix, name: options.Durable,
		isDurable: options.Durable != "", filter: options.filterSubject(), maxPending: mostWaiting,
	}
	if !consumer.isDurable {
		consumer.name = "once-" + newUUID()
	}
	if options.MaxInFlight == 1 {
		consumer.maxPending = 1
	}
	info, err := consumer.ensure(ctx, options.StartAt.config())
	if err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(ctx)
	subscription := &StatusSubscription{
		connection: connection, options: options, consumer: consumer, handler: handler, handlerCtx: ctx, cancel: cancel,
		done: make(chan struct{}), places: make(chan struct{}, options.MaxInFlight), handled: map[uint64]time.Time{},
	}
	subscription.note(info)
	go subscription.run(loop)
	return subscription, nil
}

// Stop ends the subscription, and returns when the handlers that are running have ended or ctx has.
func (s *StatusSubscription) Stop(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when the subscription has ended.
func (s *StatusSubscription) Done() <-chan struct{} { return s.done }

func (s *StatusSubscription) run(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		err := s.pullAll(ctx)
		if ctx.Err() != nil {
			break
		}
		s.report(err)
		if s.connection.IsClosed() {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(againAfter):
		}
		// It may have been deleted.
		if info, err := s.consumer.ensure(ctx, s.resumeAt); err == nil {
			s.note(info)
		} else if ctx.Err() == nil {
			s.report(err)
		}
	}
	s.running.Wait()
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if !s.consumer.isDurable {
		_ = s.consumer.delete(rest)
	}
	// Acknowledgements are on their way when Stop returns.
	_ = s.connection.FlushWithContext(rest)
}

func (s *StatusSubscription) pullAll(ctx context.Context) error {
	inbox := s.connection.NewInbox()
	messages, err := s.connection.SubscribeSync(inbox + ".*")
	if err != nil {
		return err
	}
	defer func() { _ = messages.Unsubscribe() }()
	for pulls := 1; ctx.Err() == nil; pulls++ {
		// Until there is a place for one handler at least.
		select {
		case s.places <- struct{}{}:
			<-s.places
		case <-ctx.Done():
			return nil
		}
		if time.Since(s.askedAt) >= askEvery {
			info, err := s.consumer.info(ctx)
			if err != nil {
				return err
			}
			s.note(info)
		}
		count := cap(s.places) - len(s.places)
		if err := s.pull(ctx, messages, fmt.Sprintf("%s.%d", inbox, pulls), count); err != nil {
			return err
		}
	}
	return nil
}

func (s *StatusSubscription) pull(ctx context.Context, messages *nats.Subscription, inbox string, count int) error {
	request, _ := json.Marshal(map[string]any{"batch": count, "expires": pullFor.Nanoseconds()})
	if err := s.connection.PublishRequest(s.consumer.subject("MSG.NEXT"), inbox, request); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, pullFor+time.Second)
	defer cancel()
	for count > 0 {
		message, err := messages.NextMsgWithContext(within)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return fmt.Errorf("consumer %s of %s does not answer: %w", s.consumer.name, s.consumer.stream(), err)
		case err != nil && within.Err() != nil:
			return nil
		case err != nil:
			return err
		case message.Reply != "":
			count--
			s.places <- struct{}{}
			s.running.Add(1)
			go s.handle(message)
		case message.Subject == inbox:
			// 404 and 408: there are no more now.
			if status := message.Header.Get("Status"); status != "404" && status != "408" {
				return fmt.Errorf("pull: %s %s", status, message.Header.Get("Description"))
			}
			return nil
		}
	}
	return nil
}

func (s *StatusSubscription) handle(message *nats.Msg) {
	defer func() {
		<-s.places
		s.running.Done()
	}()
	metadata, err := message.Metadata()
	if err != nil {
		s.report(err)
		return
	}
	sequence := metadata.Sequence.Stream
	if s.wasHandled(sequence, metadata.Timestamp) {
		s.answer(message, "+ACK")
		return
	}
	event, isEvent := readStatusEvent(message.Data)
	if !isEvent {
		// It would stand in the way of all that follow.
		text := fmt.Sprintf("%s: message %d of %s is no status event; it is skipped", message.Subject, sequence, s.consumer.stream())
		s.report(&Error{Code: CodeRecordInvalid, Message: text})
		s.answer(message, "+TERM")
		return
	}
	if s.options.wants(event) {
		stop := s.keepAlive(message)
		err = s.handler(s.handlerCtx, event, StatusDelivery{message.Subject, sequence, metadata.NumDelivered - 1})
		stop()
	}
	if err != nil {
		s.report(err)
		s.answer(message, fmt.Sprintf(`-NAK {"delay":%d}`, backoff(metadata.NumDelivered).Nanoseconds()))
		return
	}
	s.remember(sequence, metadata.Timestamp)
	s.answer(message, "+ACK")
}

// keepAlive reports to the server that the event is still being handled, until the function that it returns is called.
func (s *StatusSubscription) keepAlive(message *nats.Msg) (stop func()) {
	ticker, ended := time.NewTicker(ackWait/3), make(chan struct{})
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.answer(message, "+WPI")
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended) }
}

func (s *StatusSubscription) answer(message *nats.Msg, text string) {
	if err := s.connection.Publish(message.Reply, []byte(text)); err != nil {
		s.report(err)
	}
}

// backoff is the delay of the redelivery after the handler's n-th failure.
func backoff(failures uint64) time.Duration {
	if failures > 9 {
		return longestBackoff
	}
	return min(time.Second<<(failures-1), longestBackoff)
}

func (s *StatusSubscription) note(info consumerInfo) {
	s.resumeAt, s.askedAt = firstOpen(info), time.Now()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for sequence := range s.handled {
		if sequence <= info.AckFloor.Stream {
			delete(s.handled, sequence)
		}
	}
}

func (s *StatusSubscription) wasHandled(sequence uint64, storedAt time.Time) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	at, isThere := s.handled[sequence]
	return isThere && at.Equal(storedAt)
}

func (s *StatusSubscription) remember(sequence uint64, storedAt time.Time) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	// The server's floor does not move past an event that is never handled.
	for forgotten := range s.handled {
		if len(s.handled) < mostHandled {
			break
		}
		delete(s.handled, forgotten)
	}
	s.handled[sequence] = storedAt
}

func (s *StatusSubscription) report(err error) {
	if err == nil {
		return
	}
	s.options.Logger.Warn("status subscription", "consumer", s.consumer.name, "error", err)
	if s.options.OnError != nil {
		s.options.OnError(err)
	}
}
