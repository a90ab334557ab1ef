// Package mailer is the service that welcomes new customers by mail.
package mailer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/fxmodule"
)

// Module is the service. It needs an Outbox and fxmodule.Module.
//
// What it handles is the present version of CustomerCreated; what the log has of
// the first one is brought up to it.
var Module = fx.Module("mailer",
	fx.Provide(NewMailer),
	fxmodule.Subscribe(sales.CustomerCreatedTopic, (*Mailer).Welcome),
	fxmodule.Subscriptions(func(m *Mailer) eventbus.Subscription {
		return eventbus.On(sales.CustomerCreatedV1Topic, eventbus.Upcast(sales.FromV1, m.Welcome))
	}),
)

// Outbox sends mails.
type Outbox interface {
	Send(ctx context.Context, to, text string) error
}

// Mailer writes the mails.
type Mailer struct{ outbox Outbox }

// NewMailer returns a mailer that sends through outbox.
func NewMailer(outbox Outbox) *Mailer { return &Mailer{outbox} }

var errNoAddress = errors.New("the customer has no mail address")

// Welcome greets a new customer. One without an address will not have one when it
// is tried again: the event goes to the dead-letter topic at once.
func (m *Mailer) Welcome(ctx context.Context, e sales.CustomerCreated) error {
	if e.Email == "" {
		return eventbus.Permanent(errNoAddress)
	}
	name := strings.TrimSpace(e.GivenName + " " + e.FamilyName)
	return m.outbox.Send(ctx, e.Email, fmt.Sprintf("Welcome, %s!", name))
}
