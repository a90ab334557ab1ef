package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/mask"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// publication holds the flags: the event, and how it is written. event has the attributes
// that flags set directly; record sets its Time, Topic and the rest.
type publication struct {
	event wire.Event
	key   string
	// keyed is set if --key was given: an empty key is not the same as none.
	keyed bool
	// data is the text of --data: the data itself, @FILE, or - for standard input.
	data string
	// at is the text of --time, empty for now.
	at         string
	extensions map[string]string
	structured bool
	tombstone  bool
	// catalog is a FILE or URL that declares the topic, empty for none.
	catalog string
	// partition is −1 if the key chooses it.
	partition int32
}

// newPublishCommand returns the command that publishes. It knows CloudEvents but not the
// declarations of a service, so nothing checks the data against a type.
func newPublishCommand(a *app) *cobra.Command {
	var p publication
	c := &cobra.Command{
		Use:   "publish TOPIC",
		Short: "Publish one event",
		Long: `Publish one CloudEvent, and print where it is once all in-sync replicas have it.
The topic has to exist.`,
		Example: `  eventbus publish dev.sales.public.customers.v1 --type CustomerCreated --source urn:ops --key c-17 --data '{"customerId":"c-17"}'
  eventbus publish dev.sales.public.customers.v1 --type CustomerCreated --source urn:ops --data @customer.json
  eventbus publish dev.sales.public.customers.v1 --tombstone --key c-17`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.topicNames),
	}
	flags := c.Flags()
	flags.StringVar(&p.event.Type, "type", "", "`type` of the event (required)")
	flags.StringVar(&p.event.Source, "source", "", "`URI` of who publishes it (required)")
	flags.StringVar(&p.data, "data", "", "the data: as it stands, @`FILE`, or - for standard input")
	flags.StringVar(&p.key, "key", "", "`key` of the record")
	flags.StringVar(&p.event.ID, "id", "", "`id` of the event; default a new UUID")
	flags.StringVar(&p.event.Subject, "subject", "", "`subject` of the event")
	flags.StringVar(&p.at, "time", "", "when it happened, RFC 3339; default now")
	flags.StringVar(&p.event.DataContentType, "content-type", "application/json", "media `type` of the data")
	flags.StringVar(&p.event.DataSchema, "data-schema", "", "`URI` of the data's schema")
	// wire.Check checks names by the rules of CloudEvents.
	flags.StringToStringVar(&p.extensions, "extension", nil, "extension attributes, `name=value`")
	flags.BoolVar(&p.structured, "structured", false, "write the whole event as JSON into the record's value")
	flags.BoolVar(&p.tombstone, "tombstone", false, "delete the key instead: a record without a value")
	flags.StringVar(&p.catalog, "catalog", "", "`FILE|URL` of the catalogue that declares the topic: by its partitioner the key has its partition")
	flags.Int32Var(&p.partition, "partition", transport.AnyPartition, "`number` of the partition, in place of the one that the key has")
	// RunE is set after the flags, since only they tell an empty --key from none.
	c.RunE = a.action(func(ctx context.Context, args []string) error {
		p.keyed = flags.Changed("key")
		return a.publish(ctx, args[0], &p)
	})
	return c
}

// place is where a published record is.
type place struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Timestamp time.Time `json:"timestamp"`
	// ID is the event's id, empty for a tombstone, which is not an event.
	ID string `json:"id,omitempty"`
}

// publish publishes one event, and prints its place once all in-sync replicas
// have it.
func (a *app) publish(ctx context.Context, topic string, p *publication) error {
	// The record is made before the cluster is asked: a mistake on the command line is found
	// without a connection.
	record, err := p.record(a.stdin, topic)
	if err != nil {
		return err
	}
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// Brokers may create topics by themselves, and must not create one of a mistyped name.
	info, err := a.oneTopic(ctx, t, topic)
	if err != nil {
		return err
	}
	if record.Partition, err = a.partition(ctx, record, p, info.Partitions); err != nil {
		return err
	}
	if a.dryRun {
		a.note("It would be published; nothing was.")
		record.Time = time.Now()
		if a.json() {
			return a.printLine(look(record, nil))
		}
		return a.printEvent(look(record, nil), true)
	}
	// To an operator, a delivery that takes longer has failed. The default of services is two
	// minutes.
	producer, err := t.NewProducer(transport.ProducerConfig{DeliveryTimeout: 30 * time.Second})
	if err != nil {
		return err
	}
	// done receives the outcome of the record.
	done := make(outcome, 1)
	err = producer.Produce(ctx, record, done)
	if err == nil {
		// Close flushes, so done has the outcome when it returns.
		err = producer.Close(ctx)
	}
	if err != nil {
		// Close may have failed because ctx ended. A second one, with its own time limit, releases
		// the connections and what is still buffered.
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return fmt.Errorf("publishing to %s: %w", topic, errors.Join(err, producer.Close(within)))
	}
	// This does not block: done was completed before Close returned.
	result := <-done
	if result.err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, result.err)
	}
	at := place{result.Topic, result.Partition.Partition, result.Offset, result.Time.UTC(), p.event.ID}
	if a.json() {
		return a.printJSON(at)
	}
	if at.ID != "" {
		return a.say("%s/%d@%d  id=%s", at.Topic, at.Partition, at.Offset, at.ID)
	}
	return a.say("%s/%d@%d", at.Topic, at.Partition, at.Offset)
}

// partition returns the partition of a record: that of the flag, or by the partitioner that
// the catalogue declares. In another partition the event would not be in order with others
// of its key.
func (a *app) partition(ctx context.Context, r *transport.Record, p *publication, n int32) (int32, error) {
	chosen := p.partition
	if chosen != transport.AnyPartition && (chosen < 0 || chosen >= n) {
		return 0, misuse("--partition %d: topic %s has %s, numbered from 0", chosen, r.Topic, counted(n, "partition"))
	}
	if p.catalog == "" {
		if chosen == transport.AnyPartition && r.Key != nil {
			a.note("The key has the partition that the Java client gives it: a topic that declares another partitioner needs --catalog.")
		}
		return chosen, nil
	}
	d, err := a.readCatalog(ctx, p.catalog)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(d.Topics, func(t catalog.Topic) bool { return mask.Covers(&t, r.Topic) })
	if i < 0 {
		return 0, fmt.Errorf("the catalogue declares no topic %s", r.Topic)
	}
	declared := &d.Topics[i]
	// Consumers of that format would dead-letter a CloudEvent.
	if f := declared.Format; f != "" && r.Value != nil {
		return 0, fmt.Errorf("topic %s has records in the format %s, and this command writes CloudEvents", r.Topic, f)
	}
	if chosen != transport.AnyPartition || r.Key == nil {
		return chosen, nil
	}
	by, known := declare.PartitionerNamed(declared.Partitioner)
	if !known {
		return 0, fmt.Errorf("topic %s has the partitioner %q, a function of the service that this program does not have: give the partition with --partition", r.Topic, declared.Partitioner)
	}
	return by.Of(r.Key, n), nil
}

// outcome is the transport.Completion of one record. It has a buffer of one, so that the
// producer does not block.
type outcome chan delivered

// delivered is the position of a record, or the error of its delivery.
type delivered struct {
	transport.Position
	err error
}

// Done implements transport.Completion. The producer calls it once for each record.
func (o outcome) Done(p transport.Position, err error) { o <- delivered{p, err} }

// record returns the record, or an error that says why it would not be a valid CloudEvent.
// A tombstone has only a key.
func (p *publication) record(stdin io.Reader, topic string) (*transport.Record, error) {
	// Checked first, since the other flags have no meaning for a tombstone.
	if p.tombstone {
		if !p.keyed {
			return nil, misuse("--tombstone needs --key: a record without a key deletes nothing")
		}
		// AnyPartition leaves the choice to the producer's partitioner, which goes by the key. The
		// nil value makes it a tombstone.
		return &transport.Record{Topic: topic, Partition: transport.AnyPartition, Key: []byte(p.key)}, nil
	}
	e := &p.event
	switch {
	case e.Type == "":
		return nil, misuse("--type is missing: name the type of the event, such as CustomerCreated")
	case e.Source == "":
		return nil, misuse("--source is missing: name who publishes it, such as urn:ops")
	case p.data == "":
		return nil, misuse("--data is missing: give the data itself, @FILE, or - for standard input")
	}
	var err error
	if e.Data, err = read(p.data, stdin); err != nil {
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(e.DataContentType); err != nil {
		return nil, misuse("--content-type %s: %v", e.DataContentType, err)
	} else if kind == "application/json" || strings.HasSuffix(kind, "+json") {
		// Otherwise every consumer would make a dead letter of it: better to tell the publisher.
		if err := json.Unmarshal(e.Data, new(json.RawMessage)); err != nil {
			return nil, fmt.Errorf("the data is not JSON, as --content-type says it is: %w", err)
		}
	}
	e.Time = time.Now().UTC()
	if p.at != "" {
		if e.Time, err = time.Parse(time.RFC3339, p.at); err != nil {
			return nil, misuse("--time %s: write it as 2006-01-02T15:04:05Z", p.at)
		}
	}
	if e.ID == "" {
		// As in services: ids of version 7 sort by time.
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		e.ID = id.String()
	}
	if p.keyed {
		e.Key = []byte(p.key)
	}
	// The record's key is that of the flag: without a declaration no field is known as the key.
	e.Topic, e.Extensions = topic, p.extensions
	// Checked as in services, so that nothing gets onto a topic that they would refuse to
	// publish.
	if err := wire.Check(e); err != nil {
		return nil, err
	}
	var encoder wire.Encoder
	r := new(transport.Record)
	if p.structured {
		return r, encoder.Structured(e, r)
	}
	encoder.Binary(e, r)
	return r, nil
}

// read returns the data that a flag gives: the value itself, the content of @FILE, or for -
// standard input.
func read(value string, stdin io.Reader) ([]byte, error) {
	// Read whole, since brokers only take events that fit into memory.
	if value == "-" {
		return io.ReadAll(stdin)
	}
	if file, ok := strings.CutPrefix(value, "@"); ok {
		return os.ReadFile(file) //nolint:gosec // the file that the user names
	}
	return []byte(value), nil
}
