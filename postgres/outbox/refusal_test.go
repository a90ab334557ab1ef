package outbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/jackc/pgx/v5"
)

// raw writes envelopes that no Publisher would make.
func (s *scene) raw(t *testing.T, envelopes ...*eventbus.Envelope) {
	t.Helper()
	inTx(t, s.pool, func(tx pgx.Tx) {
		if err := Write(t.Context(), Pgx(tx), s.table, envelopes); err != nil {
			t.Error(err)
		}
	})
}

// parkedOf waits until n events are parked, and returns them.
func (s *scene) parkedOf(t *testing.T, n int) (parked []ParkedEvent) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " events are parked"), func() bool {
		var err error
		parked, err = ListParked(t.Context(), s.pool, s.table, n+1)
		return err == nil && len(parked) == n
	})
	return parked
}

// TestUnpublishableRowParks: an event that no bus publishes is refused when it is
// written, and a row of any other writer does not keep others from being sent.
func TestUnpublishableRowParks(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newScene(t, dsn(t))
			n, _ := s.table.names()
			long := strings.Repeat("t", maxTopic+1)
			inTx(t, s.pool, func(tx pgx.Tx) {
				for _, e := range []*eventbus.Envelope{
					{ID: "1", Source: "/s", Type: "t", Topic: "not a topic", Data: []byte{}}, {ID: "2", Topic: "topic", Tombstone: true},
					{ID: "3", Topic: ""}, {ID: "4", Topic: long}, {ID: "5", Topic: ".."},
				} {
					if err := Write(t.Context(), Pgx(tx), s.table, []*eventbus.Envelope{e}); err == nil || state(err) != "" {
						t.Errorf("%+v was written: %v", e, err)
					}
				}
			})
			for i, topic := range []string{"not a topic", "", long, ".."} {
				mustExec(t, s.pool, n.sql(`INSERT INTO {outbox} (format, event_id, topic, key, value, attributes) VALUES (1, $1, $2, 'k', '', '')`), fmt.Sprint(i), topic)
			}
			mustExec(t, s.pool, n.sql(`INSERT INTO {outbox} (format, event_id, topic, attributes) VALUES (1, 'none', 'topic', '')`))
			s.raw(t, &eventbus.Envelope{ID: "no type", Topic: "topic", Key: []byte("k"), Data: []byte{}})
			s.write(t, 20)
			runRelay(t, s.bus, s.pool, Config{Table: s.table, Unfenced: unfenced, RetryInterval: time.Hour})
			if repeated := s.check(t); repeated > 0 {
				t.Errorf("%d events repeated", repeated)
			}
			for _, p := range s.parkedOf(t, 6) {
				if p.Error == "" {
					t.Errorf("%+v has no cause", p)
				}
			}
		})
	}
}

// TestManyRefusals: finding the refused events of a large batch succeeds, even if it
// takes longer than a single transaction may.
func TestManyRefusals(t *testing.T) {
	s := newScene(t, dsn(t))
	const refused = 600
	envelopes := make([]*eventbus.Envelope, refused)
	for i := range envelopes {
		envelopes[i] = &eventbus.Envelope{ID: fmt.Sprint(i), Topic: s.topic(t), Key: fmt.Append(nil, i), Data: []byte{}} // and no type
	}
	s.raw(t, envelopes...)
	s.write(t, 20)
	runRelay(t, s.bus, s.pool, Config{Table: s.table, RetryInterval: time.Hour, DeliveryTimeout: 300 * time.Millisecond})
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
	s.parkedOf(t, refused)
}

// topic returns the full name of changeTopic.
func (s *scene) topic(t *testing.T) string {
	t.Helper()
	e, err := eventbus.NewPublisher(s.bus, changeTopic).Envelope(t.Context(), change{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	return e.Topic
}

// TestTopicRefusedAtOnce: a missing topic does not cost a transaction for each of its
// events.
func TestTopicRefusedAtOnce(t *testing.T) {
	s := newScene(t, dsn(t))
	confirmed := 0
	from := sender{bus: s.bus, id: "refused", timeout: time.Minute, confirm: func(context.Context) error { confirmed++; return nil }}
	topic := s.topic(t)
	var envelopes []*eventbus.Envelope
	for i := range 400 {
		e := &eventbus.Envelope{ID: fmt.Sprint(i), Source: "/s", Type: changeTopic.Type(), Key: fmt.Append(nil, i%100), Data: []byte("{}")}
		if e.Topic = topic; i%2 == 1 {
			e.Topic = fmt.Sprint("gone-", i%3)
		}
		if i%8 == 3 {
			e.Key = nil
		}
		envelopes = append(envelopes, e)
	}
	refusals, err := from.send(t.Context(), envelopes)
	if err != nil {
		t.Fatal(err)
	}
	if confirmed > 12 {
		t.Errorf("%d transactions for three topics that are gone", confirmed)
	}
	seen := make(map[string]bool)
	for i, e := range envelopes {
		cause, refused := refusals[i]
		id := keyID(e.Topic, e.Key)
		if refused != (e.Topic != topic) || refused && (cause != nil) != (e.Key == nil || !seen[id]) || cause != nil && !errors.Is(cause, eventbus.ErrTopicMissing) {
			t.Errorf("event %d of %s, key %s: refused %t, %v", i, e.Topic, e.Key, refused, cause)
		}
		seen[id] = true
	}
	if len(refusals) != 200 {
		t.Errorf("%d events were refused, want 200", len(refusals))
	}
	if sent := len(kafkatest.Published(t, s.cluster, changeTopic)); sent != 201 {
		t.Errorf("%d events were sent, want 200 and the one that made the topic", sent)
	}
}

// TestGoneTopicIsTriedOnce: of a missing topic's parked events only one is retried, so
// that other topics don't wait for the rest.
func TestGoneTopicIsTriedOnce(t *testing.T) {
	s := newScene(t, dsn(t))
	const parked = 300
	var envelopes []*eventbus.Envelope
	for i := range parked {
		envelopes = append(envelopes, &eventbus.Envelope{ID: fmt.Sprint(i), Source: "/s", Type: "t", Topic: "gone", Key: fmt.Append(nil, i), Data: []byte("{}")})
	}
	s.raw(t, envelopes...)
	_, stop := runRelay(t, s.bus, s.pool, Config{Table: s.table, RetryInterval: time.Hour})
	s.parkedOf(t, parked)
	stop()
	r, l, _ := s.newLeader(t, Config{RetryInterval: time.Hour})
	confirmed, confirm := 0, r.sender.confirm
	r.sender.confirm = func(ctx context.Context) error { confirmed++; return confirm(ctx) }
	r.sender.tx = nil
	mustExec(t, s.pool, r.names.sql(`UPDATE {parked} SET next_at = '-infinity'`))
	if err := r.retryParked(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	var due int
	if err := s.pool.QueryRow(t.Context(), r.names.sql(`SELECT count(*) FROM {parked} WHERE next_at <= clock_timestamp()`)).Scan(&due); err != nil || due > 0 || confirmed != 1 {
		t.Errorf("%d are still due after %d transactions, %v", due, confirmed, err)
	}
}

// codeError is an error of Kafka's protocol.
type codeError struct {
	name string
	is   error
}

func (e codeError) Error() string        { return e.name }
func (e codeError) Name() string         { return e.name }
func (e codeError) Is(target error) bool { return target == e.is }

// TestRefusedClientIsNoRefusal: refused credentials do not count as a refusal of an
// event.
func TestRefusedClientIsNoRefusal(t *testing.T) {
	for name, want := range map[string]bool{
		"TOPIC_AUTHORIZATION_FAILED": true, "SASL_AUTHENTICATION_FAILED": false, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": false, "CLUSTER_AUTHORIZATION_FAILED": false,
	} {
		if got := refused(fmt.Errorf("kafka: %w", codeError{name, transport.ErrUnauthorized})); got != want {
			t.Errorf("%s is a refusal of an event: %t", name, got)
		}
	}
}

// TestNotBeforeBeyondTime: a distant time that means "never" does not overflow into
// the past.
func TestNotBeforeBeyondTime(t *testing.T) {
	memory := NewMemory(kafkatest.NewMemory(t).Bus(t))
	e := []*eventbus.Envelope{{ID: "1", Source: "/s", Type: "t", Topic: "topic", Data: []byte{}}}
	for _, second := range []int64{math.MaxInt64, 1 << 62, lastSecond + 1, firstSecond - 1, math.MinInt64} {
		if err := Write(t.Context(), memory.Begin(), Table{}, e, NotBefore(time.Unix(second, 0))); err == nil || !strings.Contains(err.Error(), "NotBefore") {
			t.Errorf("second %d: %v", second, err)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(lastSecond, 0), time.Unix(firstSecond+1, 0), time.Unix(0, 0)} {
		if err := Write(t.Context(), memory.Begin(), Table{}, e, NotBefore(at)); err != nil {
			t.Error(err)
		}
	}
}

// TestPartitionKeyIsAKey: the row has the key that the record will have.
func TestPartitionKeyIsAKey(t *testing.T) {
	e := &eventbus.Envelope{ID: "1", Source: "/s", Type: "t", Topic: "topic", Data: []byte{}, Extensions: map[string]string{"partitionkey": "p"}}
	for want, change := range map[string]func(*eventbus.Envelope){
		"p": func(*eventbus.Envelope) {}, "k": func(e *eventbus.Envelope) { e.Key = []byte("k") }, "": func(e *eventbus.Envelope) { e.Raw = true },
	} {
		e := *e
		change(&e)
		r, err := newRow(&e)
		if id, keyed := r.keyID(); err != nil || keyed != (want != "") || id != keyID("topic", []byte(want)) {
			t.Errorf("%q, %t, %v; want %q", id, keyed, err, want)
		}
	}
}

// TestNothingParkedMeanwhile: retryKey works if an operator has skipped the event, and
// fails if the database is unreachable.
func TestNothingParkedMeanwhile(t *testing.T) {
	s := newScene(t, dsn(t))
	r, l, _ := s.newLeader(t, Config{})
	if refusal, err := r.retryKey(t.Context(), &l, row{topic: "topic", key: []byte("k")}); refusal != nil || err != nil {
		t.Errorf("%v, %v", refusal, err)
	}
}
