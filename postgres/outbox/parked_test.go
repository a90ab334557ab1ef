package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5"
)

// TestRefusedKeyWaits: an event whose topic is missing is parked with its key, other
// keys go on, and it is sent once the operator has created the topic.
func TestRefusedKeyWaits(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprint("unfenced=", unfenced), func(t *testing.T) {
			s := newScene(t, dsn(t))
			lost := eventbus.NewTopic(eventbus.TopicConfig[change]{Domain: "sales", Name: "nowhere", Partitions: 1, Key: func(c change) string { return c.Key }})
			to := eventbus.NewPublisher(s.bus, lost)
			nowhere := For(to).In(s.table)
			for n := range int64(5) {
				inTx(t, s.pool, func(tx pgx.Tx) {
					if err := nowhere.Publish(t.Context(), Pgx(tx), change{Key: "x", Version: n + 1}); err != nil {
						t.Error(err)
					}
				})
				s.write(t, 10)
			}
			r, _ := runRelay(t, s.bus, s.pool, Config{Table: s.table, Unfenced: unfenced, RetryInterval: time.Hour})
			s.check(t)
			var parked []ParkedEvent
			eventually(t, "5 events are parked", func() (ok bool) {
				var err error
				parked, err = ListParked(t.Context(), s.pool, s.table, 100)
				return err == nil && len(parked) == 5
			})
			if !unfenced && (parked[0].Error == "" || parked[1].Error != "") || !strings.Contains(parked[0].Error, "topic does not exist") || parked[0].Event == nil {
				t.Errorf("parked: %+v", parked)
			}
			eventually(t, "health says so", func() bool {
				err := r.Health(t.Context())
				return err != nil && strings.Contains(err.Error(), "Kafka refused")
			})
			if p, err := FindParked(t.Context(), s.pool, s.table, "default", parked[1].ID); err != nil || p.EventID != parked[1].EventID {
				t.Errorf("found %+v, %v", p, err)
			}
			if err := SkipParked(t.Context(), s.pool, s.table, "default", parked[1].ID); err != nil {
				t.Fatal(err)
			}
			if p, err := FindParked(t.Context(), s.pool, s.table, "default", parked[1].ID); !errors.Is(err, ErrNotParked) {
				t.Errorf("after the skip found %+v, %v", p, err)
			}
			if err := to.Publish(t.Context(), change{Key: "y", Version: 1}); err != nil { // makes the topic
				t.Fatal(err)
			}
			if err := RetryParked(t.Context(), s.pool, s.table, "default", parked[4].ID); err != nil {
				t.Fatal(err)
			}
			if unfenced { // without transactions each event is refused by itself
				for _, p := range parked {
					_ = RetryParked(t.Context(), s.pool, s.table, "default", p.ID)
				}
			}
			var order []int64
			eventually(t, "the key goes on", func() bool {
				order = nil
				for _, c := range kafkatest.Published(t, s.cluster, lost) {
					if c.Key == "x" {
						order = append(order, c.Version)
					}
				}
				return len(order) == 4
			})
			if fmt.Sprint(order) != "[1 3 4 5]" {
				t.Errorf("order %v", order)
			}
			// The rows are deleted a moment after Kafka has the events.
			eventually(t, "nothing is parked", func() bool {
				left, err := ListParked(t.Context(), s.pool, s.table, 1)
				return err == nil && len(left) == 0
			})
			if err := SkipParked(t.Context(), s.pool, s.table, "default", parked[0].ID); !errors.Is(err, ErrNotParked) {
				t.Errorf("skipping what is not parked: %v", err)
			}
		})
	}
}

// TestTooLargeIsFoundInItsBatch: one event of a batch is too large; its key waits, and
// no other event is lost or repeated.
func TestTooLargeIsFoundInItsBatch(t *testing.T) {
	s := newScene(t, dsn(t))
	s.write(t, 50)
	inTx(t, s.pool, func(tx pgx.Tx) {
		for _, c := range []change{{Key: "big", Version: 1}, {Key: "big", Version: 2, Data: strings.Repeat("x", 3<<20)}, {Key: "big", Version: 3}} {
			if err := s.publisher.Publish(t.Context(), Pgx(tx), c); err != nil {
				t.Error(err)
			}
		}
	})
	s.write(t, 50)
	runRelay(t, s.bus, s.pool, Config{Table: s.table})
	if repeated := s.check(t); repeated > 0 {
		t.Errorf("%d events repeated", repeated)
	}
	// They are parked when the cursor is stored, after Kafka has the others.
	var parked []ParkedEvent
	eventually(t, "two events are parked", func() bool {
		var err error
		parked, err = ListParked(t.Context(), s.pool, s.table, 10)
		return err == nil && len(parked) == 2
	})
	if parked[0].Error == "" || parked[1].Error != "" {
		t.Errorf("parked %+v", parked)
	}
}
