// Package customers publishes personal data that can be erased.
package customers

import (
	"context"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/personal"
)

// Registered is the event that a customer registered.
type Registered struct {
	CustomerID string `json:"customerId"`
	Email      string `json:"email" data:"personal"`
	Country    string `json:"country"`
}

// Topic returns the topic of registrations. Emails are encrypted, with a key for each
// customer.
func Topic(keys personal.Keys) *eventbus.Topic[Registered] {
	return eventbus.NewTopic(eventbus.TopicConfig[Registered]{
		Domain: "crm", Name: "registration", Plural: true,
		Key:   func(r Registered) string { return r.CustomerID },
		Codec: personal.New(eventbus.JSON(), keys, personal.Config{}),
	})
}

// Mailer sends mail.
type Mailer interface {
	Send(ctx context.Context, to string) error
}

// Welcome greets new customers, but those whose data was erased meanwhile.
func Welcome(registrations *eventbus.Topic[Registered], mailer Mailer) eventbus.Subscription {
	return eventbus.On(registrations, func(ctx context.Context, r Registered) error {
		if e, ok := eventbus.EnvelopeFrom(ctx); ok && e.Shredded {
			return nil
		}
		return mailer.Send(ctx, r.Email)
	})
}
