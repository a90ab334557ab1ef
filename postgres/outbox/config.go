package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Start says where a relay without a cursor begins.
type Start int8

const (
	// StartNowhere refuses to start: a lost cursor must not look like a new name.
	StartNowhere Start = iota
	// StartOldest sends everything that is in the table.
	StartOldest
	// StartNow sends what commits from now on.
	StartNow
)

// UnmarshalText reads "nowhere", "oldest" or "now", in any case.
func (s *Start) UnmarshalText(text []byte) error {
	// The names are in the order of the constants.
	for start, name := range []string{"nowhere", "oldest", "now"} {
		if strings.EqualFold(name, string(text)) {
			*s = Start(start)
			return nil
		}
	}
	return fmt.Errorf("invalid start %q: use nowhere, oldest or now", text)
}

// Config configures a Relay. The zero value is usable.
type Config struct {
	// Table is the outbox. Default public.outbox.
	Table Table
	// Name is the relay's name. Any number of processes may run one name: one of them
	// leads. Relays of two names both send every event, each to its own bus. Default
	// "default".
	Name string
	// From is where a relay without a cursor begins. The name "default" has a cursor
	// from the migration on.
	From Start

	// Unfenced sends without Kafka transactions. It is faster, and readers need not
	// read only committed records. But a relay that was frozen while another took over
	// may send one more batch when it thaws, out of order; and events of a key that
	// were under way behind a refused one are not held back.
	Unfenced bool
	// TransactionalID is the relay's transactional id in Kafka. All processes of a name
	// must have the same: it fences off a process that was replaced. Default
	// "eventbus-outbox.{system identifier}.{database}.{table}.{name}".
	TransactionalID string

	// Batch bounds how many events are read and sent at once, and so may be repeated
	// after a crash. A batch never exceeds 16 MiB. A Kafka transaction costs about the
	// same for few events as for many. Default 10,000.
	Batch int
	// PollInterval is the time between polls of a quiet outbox. Default 50 ms.
	PollInterval time.Duration
	// Listen wakes the relay at each [Notifier.Notify] of another process, so
	// PollInterval may be long. It takes a connection of its own. A PgBouncer that
	// pools transactions does not pass notifications on.
	Listen bool
	// DeliveryTimeout bounds sending one batch to Kafka, or one part of a batch that
	// is sent in parts because Kafka refused some of its events. Default 10 s. With
	// Unfenced it must be longer than the bus's Producer.DeliveryTimeout, and is 10 s
	// longer by default: a batch waits for room in the producer's buffer for no longer
	// than that, and nothing of it is under way at the end.
	DeliveryTimeout time.Duration
	// Lease is how long a leader that stops answering still leads, by the database's
	// clock. After a kill, the next leader waits for its end, even if it is the same
	// process started again. Default 10 s, at least 3 s. With Unfenced a batch must
	// end within it: the default is then twice DeliveryTimeout plus 2 s, and the
	// minimum is DeliveryTimeout plus 2 s.
	Lease time.Duration
	// DrainTimeout bounds the batch that is under way when Run's context ends. Default
	// 5 s. A transaction that it cuts off may take 5 s more to be aborted. With
	// Unfenced, if it cuts off a batch, the lease is not freed but expires.
	DrainTimeout time.Duration

	// RetryInterval is the time between attempts at keys that Kafka refused.
	// Default 1 minute.
	RetryInterval time.Duration
	// Keep is how long events stay in the table after all relays have sent them.
	// Default 24 h.
	Keep time.Duration
	// CleanInterval is the time between deletions. Default 1 minute.
	CleanInterval time.Duration

	// Logger; default slog.Default().
	Logger *slog.Logger
	// MeterProvider; default the global one.
	MeterProvider metric.MeterProvider
}

// margin is how much of a lease must be left beyond the delivery timeout, for answers
// of the database that are still under way.
const margin = time.Second

// validRelay allows names that need no escaping in Kafka's transactional ids, metric
// labels and command lines.
var validRelay = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// resolve fills in the defaults, for a bus with a Producer.DeliveryTimeout. The error
// names every wrong field.
func (c Config) resolve(producer time.Duration) (Config, names, error) {
	// All errors are collected, so that a configuration can be fixed in one go.
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	n, err := c.Table.names()
	if err != nil {
		wrong = append(wrong, err)
	}
	c.Name = cmp.Or(c.Name, "default")
	if !validRelay.MatchString(c.Name) {
		fault("Name %q: use 1 to 64 letters, digits, '.', '_' and '-'", c.Name)
	}
	c.Batch = cmp.Or(c.Batch, 10_000)
	if c.Batch < 1 || c.Batch > 100_000 {
		fault("Batch is %d: use 1 to 100,000", c.Batch)
	}
	// Without transactions the bus's producer decides when it gives up. A shorter bound
	// here would end a batch that may still be written, behind the next leader's.
	delivery := 10 * time.Second
	if c.Unfenced {
		delivery += producer
		if c.DeliveryTimeout > 0 && c.DeliveryTimeout <= producer {
			fault("DeliveryTimeout is %v and the bus's Producer.DeliveryTimeout %v: Unfenced, an event may be written until both are over, so the relay's must be longer: leave it out for %v, or make the bus's shorter", c.DeliveryTimeout, producer, delivery)
		}
	}
	// Lease is not among these: its default depends on the DeliveryTimeout.
	for _, d := range []struct {
		name      string
		of        *time.Duration
		otherwise time.Duration
	}{
		{"PollInterval", &c.PollInterval, 50 * time.Millisecond}, {"DeliveryTimeout", &c.DeliveryTimeout, delivery},
		{"DrainTimeout", &c.DrainTimeout, 5 * time.Second}, {"RetryInterval", &c.RetryInterval, time.Minute},
		{"Keep", &c.Keep, 24 * time.Hour}, {"CleanInterval", &c.CleanInterval, time.Minute},
	} {
		if *d.of < 0 {
			fault("%s is %v: use a positive duration, or zero for %v", d.name, *d.of, d.otherwise)
		}
		*d.of = cmp.Or(*d.of, d.otherwise)
	}
	// A lease is renewed when a third of it has passed. One margin must be left when a
	// batch begins; the other allows for the time that the renewal takes.
	lease, least := 10*time.Second, 3*margin
	if c.Unfenced {
		lease, least = 2*c.DeliveryTimeout+2*margin, max(least, c.DeliveryTimeout+2*margin)
	}
	if c.Lease = cmp.Or(c.Lease, lease); c.Lease < least {
		fault("Lease is %v: nothing could be sent with a DeliveryTimeout of %v, use at least %v", c.Lease, c.DeliveryTimeout, least)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("outbox", n.bare, "relay", c.Name)
	if len(wrong) > 0 {
		return c, n, fmt.Errorf("outbox: configure the relay: %w", errors.Join(wrong...))
	}
	return c, n, nil
}
