package mailer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/examples/quickstart/mailer"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outbox keeps mails, and fails the first n times.
type outbox struct {
	mu    sync.Mutex
	fails int
	mails []string
}

func (o *outbox) Send(_ context.Context, to, text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails > 0 {
		o.fails--
		return errors.New("the mail server is busy")
	}
	o.mails = append(o.mails, to+": "+text)
	return nil
}

func TestWelcome(t *testing.T) {
	ada := sales.CustomerCreated{CustomerID: "1", GivenName: "Ada", FamilyName: "Lovelace", Email: "ada@example.com"}
	nobody := sales.CustomerCreated{CustomerID: "2", FamilyName: "Nobody"}
	cluster, mails := kafkatest.NewMemory(t), &outbox{fails: 1}
	cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, mailer.NewMailer(mails).Welcome))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada, nobody)
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
	kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic, nobody)
	if got := strings.Join(mails.mails, "\n"); got != "ada@example.com: Welcome, Ada Lovelace!" {
		t.Error(got)
	}
}

func TestFromV1(t *testing.T) {
	for name, want := range map[string][2]string{
		"Grace Hopper":          {"Grace", "Hopper"},
		" Mary Jane  Watson ":   {"Mary Jane", "Watson"},
		"Plato":                 {"", "Plato"},
		"Johann Sebastian Bach": {"Johann Sebastian", "Bach"},
	} {
		e, err := sales.FromV1(sales.CustomerCreatedV1{CustomerID: "1", Name: name})
		if err != nil || e.GivenName != want[0] || e.FamilyName != want[1] || e.CustomerID != "1" {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
	if _, err := sales.FromV1(sales.CustomerCreatedV1{Name: " "}); err == nil {
		t.Error("a customer without a name is not an error")
	}
}
