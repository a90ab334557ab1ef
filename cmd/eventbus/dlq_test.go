package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

func TestDeadLetters(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		dead := b.topic + ".mailer.dlq"
		var mended atomic.Bool
		came := make(chan customerCreated, 10)
		b.Start(t, eventbus.On(customers, func(_ context.Context, e customerCreated) error {
			switch {
			case mended.Load():
				came <- e
				return nil
			case e.Name == "panic":
				panic("no such mailbox")
			}
			return errors.New("mailbox 4711 is full")
		}, eventbus.Group("mailer"), eventbus.Retry(resilience.Retry{Attempts: 1})))
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"}, customerCreated{"c-1", "Bob"}, customerCreated{"c-2", "panic"})
		b.Produce(t, transport.Record{Topic: b.topic, Partition: 2, Value: []byte("no event")})
		b.Settle(t)

		b.run(t, "dlq", "list").ok(dead, "4")
		start(t, "", "--brokers", strings.Join(b.Brokers(), ","), "dlq", "list").ok(dead)
		start(t, "", "--brokers", strings.Join(b.Brokers(), ","), "dlq", "list", "-e", "Elsewhere").ok().lacks(dead)
		start(t, "", "--brokers", strings.Join(b.Brokers(), ","), "topics", "list", "-e", "Elsewhere").ok().lacks(dead)
		stats := b.run(t, "dlq", "stats", dead).ok("mailbox … is full", "exhausted", "malformed", "no such mailbox").out
		b.run(t, "dlq", "show", dead, "--key", "c-1").ok(`"name": "Bob"`, "mailbox 4711 is full", "group: mailer", "state: open").lacks("panic")
		if r := b.run(t, "dlq", "show", dead, "--limit", "1").ok("state: open"); r.err != "There are more: raise --limit to see them.\n" {
			t.Errorf("it says %q", r.err)
		}
		b.run(t, "dlq", "show", dead, "--key", "c-2").ok("stack:", "goroutine")
		var stories []struct{ Fingerprint string }
		for _, row := range strings.Split(stats, "\n") {
			if strings.Contains(row, "is full") {
				stories = append(stories, struct{ Fingerprint string }{strings.Fields(row)[0]})
			}
		}
		if len(stories) != 1 {
			t.Fatalf("the full mailboxes are %d causes:\n%s", len(stories), stats)
		}

		b.run(t, "dlq", "replay", dead, "--dry-run").ok("4 letters would be replayed")
		b.run(t, "dlq", "replay", dead).fails(exitMisuse, "--yes")
		b.run(t, "dlq", "skip", dead, "--reason", "malformed", "--yes").fails(exitMisuse, "--why is missing")
		b.run(t, "dlq", "replay", dead, "--offsets", "1@x", "--dry-run").fails(exitMisuse, "PARTITION@FROM-TO")
		b.run(t, "dlq", "replay", dead, "--offsets", "2@0", "--dry-run").ok("1 letter would be")
		b.run(t, "dlq", "skip", dead, "--reason", "malformed", "--yes", "--why", "no event").ok("1 letter skipped")
		b.run(t, "dlq", "quarantine", dead, "--key", "c-2", "--yes").ok("1 letter put into quarantine")
		b.run(t, "dlq", "show", dead, "--state", "quarantined").ok("c-2")
		mended.Store(true)
		b.run(t, "dlq", "replay", dead, "--cause", stories[0].Fingerprint, "--yes").ok("2 letters replayed")
		for _, want := range []string{"Ann", "Bob"} {
			if e := <-came; e.Name != want {
				t.Errorf("%s comes back, want %s", e.Name, want)
			}
		}
		b.run(t, "dlq", "replay", dead, "--yes").ok("no such letters")
		b.run(t, "dlq", "quarantine", dead, "--release", "--yes").ok("1 letter released")
		b.run(t, "dlq", "replay", dead, "--rate", "100", "--yes", "-o", "json").ok(`"replayed": 1`)
		if e := <-came; e.CustomerID != "c-2" {
			t.Errorf("%+v comes back", e)
		}
		b.run(t, "dlq", "jobs", dead).ok("replay", "skip", "no event", "2 of 2", "done").lacks("running")
		b.run(t, "dlq", "purge", dead).fails(exitMisuse, "--why is missing")
		b.run(t, "dlq", "purge", dead, "--why", "all is decided").fails(exitMisuse, "4 letters")
		b.run(t, "dlq", "purge", dead, "--yes", "--why", "all is decided").ok("4 letters")
		b.run(t, "dlq", "purge", dead, "--yes", "--why", "all is decided").ok("no letters")
		b.run(t, "dlq", "stats", dead).ok("no such letters")
		b.run(t, "dlq", "show", dead+"/0@999").fails(exitFailed, "there is no letter")
		b.run(t, "dlq", "replay", b.topic, "--yes").fails(exitFailed, "not a dead-letter topic")
		b.run(t, "dlq", "replay", "none.dlq", "--yes").fails(exitFailed, "does not exist")
	})
}

// TestPlainLetters: with a catalogue, --type and --id choose letters whose records name no
// type, to show them and in jobs, if their topic has one type. With several they choose none.
func TestPlainLetters(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		plain := func(typ string) eventbus.AnyTopic {
			return eventbus.NewTopic(eventbus.TopicConfig[signedUp]{
				Domain: "sales", Name: "customer", Plural: true, Type: typ, Format: format.Plain(format.PlainConfig{}),
			})
		}
		one, two := writeCatalog(t, plain("SignedUp")), writeCatalog(t, plain("SignedUp"), plain("SignedOff"))
		// A name that was chosen may look as if it was derived.
		dead, chosen, alike := b.topic+".mailer.dlq", b.Environment()+".letters", b.Environment()+".letters.dlq"
		createTopics(t, b, b.topic, dead, chosen, alike, b.topic+".mailer.retry")
		for _, topic := range []string{dead, chosen, alike} {
			for i := range 2 {
				b.Produce(t, transport.Record{Topic: topic, Value: []byte(`{"id":"u-1"}`), Headers: []transport.Header{
					{Key: "eventbus-dlq-topic", Value: []byte(b.topic)}, {Key: "eventbus-dlq-partition", Value: []byte("0")},
					{Key: "eventbus-dlq-offset", Value: []byte(strconv.Itoa(i))},
					{Key: "eventbus-dlq-group", Value: []byte("mailer")}, {Key: "eventbus-dlq-reason", Value: []byte("exhausted")},
				}})
			}
			b.run(t, "dlq", "stats", topic, "--type", "SignedUp").ok("no such letters")
			b.run(t, "dlq", "stats", topic, "--type", "SignedUp", "--catalog", one).ok("exhausted", "2")
			b.run(t, "dlq", "stats", topic, "--type", "SignedOff", "--catalog", one).ok("no such letters")
			if r := b.run(t, "dlq", "stats", topic, "--type", "SignedUp", "--catalog", two).ok("no such letters"); !strings.Contains(r.err, "the catalogue has 2 on it") {
				t.Errorf("nothing says that several types are declared: %s", r.err)
			}
			var shown struct{ Event struct{ ID, Type string } }
			b.run(t, "dlq", "show", topic, "--type", "SignedUp", "--catalog", one, "--limit", "1", "-o", "json").ok().json(&shown)
			if shown.Event.Type != "SignedUp" || shown.Event.ID == "" {
				t.Fatalf("it shows %+v", shown)
			}
			b.run(t, "dlq", "quarantine", topic, "--id", shown.Event.ID, "--catalog", one, "--yes").ok("1 letter put into quarantine")
			b.run(t, "dlq", "skip", topic, "--type", "SignedUp", "--yes", "--why", "tests").ok("no such letters")
			b.run(t, "dlq", "skip", topic, "--type", "SignedUp", "--catalog", one, "--yes", "--why", "tests").ok("1 letter skipped")
		}
		b.run(t, "dlq", "quarantine", dead, "--release", "--yes").ok("1 letter released")
		b.run(t, "dlq", "replay", dead, "--type", "SignedUp", "--catalog", one, "--dry-run").ok("1 letter would be replayed")
	})
}

// TestJobs: an operator sees who runs a job, takes it over, stops and resumes it.
func TestJobs(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		dead := b.topic + ".mailer.dlq"
		b.Start(t, eventbus.On(customers, func(context.Context, customerCreated) error {
			return eventbus.Permanent(errors.New("no address"))
		}, eventbus.Group("mailer")))
		for i := range 40 {
			kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", strconv.Itoa(i)})
		}
		b.Settle(t)
		cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
		defer cluster.Close(context.Background())
		began, ended := make(chan redrive.Job, 100), make(chan error, 1)
		order := redrive.Order{Topic: dead, Who: "ann@desk", Why: "mended", Rate: 10, Expected: 40}
		go func() {
			console := redrive.New(cluster, redrive.Config{Who: "console", Create: true})
			_, err := console.Start(t.Context(), order, redrive.Run{Progress: func(j redrive.Job) { began <- j }})
			ended <- err
		}()
		id := (<-began).ID
		b.run(t, "dlq", "replay", dead, "--yes").fails(exitFailed, "job "+id+" by console since", "dlq stop "+id, "--take-over")
		b.run(t, "dlq", "jobs").ok(id, "running", "of 40", "console, since", "ann@desk", "mended")
		b.run(t, "dlq", "stop", id, "--dry-run").ok("would be stopped")
		b.run(t, "__complete", "dlq", "stop", "").ok(id)
		b.run(t, "dlq", "stop", id, "--who", "bob", "--why", "slow").ok("is stopped after", "of 40")
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) {
			t.Errorf("the console: %v, want ErrTakenOver", err)
		}
		b.run(t, "dlq", "jobs", "-o", "json").ok(`"state": "stopped"`, `"by": "bob"`, `"reason": "slow"`, `"who": "ann@desk"`)
		b.run(t, "dlq", "resume", "00000000").fails(exitFailed, "there is no such job", "dlq jobs")
		b.run(t, "dlq", "resume", id).ok("40 letters replayed")
		b.run(t, "dlq", "resume", id).fails(exitFailed, "is done")
		b.run(t, "dlq", "stop", id).fails(exitFailed, "is done")
	})
}

// TestReplayThroughNamedTopics: --yes redelivers letters only through topics that the order
// names, whatever the letters name.
func TestReplayThroughNamedTopics(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		var mended atomic.Bool
		came := make(chan struct{}, 10)
		fails := func(ctx context.Context, _ customerCreated) error {
			if e, _ := eventbus.EnvelopeFrom(ctx); e.Redeliveries > 0 {
				came <- struct{}{}
			}
			if mended.Load() {
				return nil
			}
			return errors.New("broken")
		}
		for group, name := range map[string]string{"mailer": "{topic}-again", "audit": "{topic}-audit"} {
			b.Start(t, eventbus.On(customers, fails, eventbus.Group(group), eventbus.DeadLetterTopic("{env}.failures"), eventbus.RetryTopic(name), eventbus.Retry(resilience.Retry{Attempts: 1})))
		}
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
		b.Settle(t)
		env, _, _ := strings.Cut(b.topic, ".")
		box, again, audit := env+".failures", b.topic+"-again", b.topic+"-audit"
		b.run(t, "dlq", "replay", box, "--dry-run").ok("2 letters would be replayed")
		b.run(t, "dlq", "replay", box, "--yes").fails(exitMisuse, "letters name "+again+", "+audit, "add --through "+again+" --through "+audit)
		b.run(t, "dlq", "replay", box, "--yes", "--through", again).fails(exitMisuse, "letters name "+audit+" to")
		b.run(t, "dlq", "show", box, "--group", "mailer", "-o", "json").ok(`"group": "mailer"`).lacks(`"group": "audit"`)
		b.run(t, "dlq", "replay", box, "--yes", "--group", "mailer", "--through", again).ok("1 letter replayed")
		<-came
		b.Settle(t)
		// It failed once more. Nothing can be brought back, so the question names no topic.
		if r := b.run(t, "dlq", "replay", box, "--group", "mailer", "--max-redeliveries", "1"); !strings.HasPrefix(r.err, "eventbus: Put 1 event into quarantine: there is no terminal") {
			t.Errorf("it asks %q", r.err)
		}
		mended.Store(true)
		if r := b.run(t, "dlq", "replay", box, "--group", "audit"); !strings.Contains(r.err, "Bring 1 event back through "+audit) {
			t.Errorf("it asks %q", r.err)
		}
		b.run(t, "dlq", "replay", box, "--yes", "--through", audit, "--through", again).ok("2 letters replayed")
		b.Produce(t, transport.Record{Topic: box, Value: []byte("no letter")})
		b.run(t, "dlq", "replay", box).ok("1 letter left alone") // and nothing is asked
	})
}

// TestInterruptedJob: after an interruption the tool says how to resume the job.
func TestInterruptedJob(t *testing.T) {
	c := kafkatest.NewBroker(t)
	b := &bench{c, customers.In(c.Environment())}
	dead := b.topic + ".mailer.dlq"
	b.Start(t, eventbus.On(customers, func(context.Context, customerCreated) error {
		return eventbus.Permanent(errors.New("no address"))
	}, eventbus.Group("mailer")))
	for i := range 40 {
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", strconv.Itoa(i)})
	}
	b.Settle(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, complaints bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--brokers", strings.Join(b.Brokers(), ","), "dlq", "replay", dead, "--rate", "1", "--yes"}, strings.NewReader(""), &out, &complaints)
	}()
	cluster := kafka.New(kafka.Config{Brokers: b.Brokers()})
	defer cluster.Close(context.Background())
	client, id := redrive.New(cluster, redrive.Config{Who: "bob@desk"}), ""
	for id == "" {
		jobs, err := client.Jobs(t.Context(), dead)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) == 1 && jobs[0].State == redrive.Running {
			id = jobs[0].ID
		}
	}
	interrupt()
	if code := <-ended; code != exitFailed || !strings.Contains(complaints.String(), "interrupted") || !strings.Contains(complaints.String(), "eventbus dlq resume "+id) {
		t.Errorf("exit code %d: %s%s", code, &out, &complaints)
	}
}

// TestQuestionIsInterrupted: ending the program ends a question that nobody answers.
func TestQuestionIsInterrupted(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	a := newApp(in, io.Discard, io.Discard)
	a.asks = true
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := a.confirm(ctx, "Delete %s", "it"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
