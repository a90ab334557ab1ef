package mailer_test

import (
	"fmt"
	"testing"

	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/examples/quickstart/mailer"
	"github.com/eventbus-go/eventbus/kafkatest/check"
)

// TestWelcomeUnderFaults crashes and rebalances the members of the mailer's group,
// loses its brokers, and makes attempts fail, hang and panic: no mail may be
// forgotten.
func TestWelcomeUnderFaults(t *testing.T) {
	check.Run(t, check.Plan[sales.CustomerCreated]{
		Topic: sales.CustomerCreatedTopic,
		Event: func(key, n int) sales.CustomerCreated {
			return sales.CustomerCreated{
				CustomerID: fmt.Sprint(key), GivenName: fmt.Sprint("Ada ", n), FamilyName: "Lovelace", Email: "ada@example.com",
			}
		},
		Handler: mailer.NewMailer(new(outbox)).Welcome,
	})
}
