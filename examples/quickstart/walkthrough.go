package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
	"github.com/eventbus-go/eventbus/fxmodule"
)

// The customers of the walk-through.
const (
	grace = "grace@example.com"
	ada   = "ada@example.com"
)

// publishV1 publishes an event in the version of the release before this one,
// as a log has it after an upgrade.
func (q *quickstart) publishV1(ctx context.Context) error {
	var created *eventbus.Publisher[sales.CustomerCreatedV1]
	// It is not one of q.apps: it ends here, before the present release starts.
	app := q.service("sales-api", fxmodule.Publisher(sales.CustomerCreatedV1Topic), fx.Populate(&created))
	ctx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(ctx); err != nil {
		return fmt.Errorf("the previous release does not start: %w", err)
	}
	// The name is in one piece, which sales.FromV1 splits when mailer reads it.
	e := sales.CustomerCreatedV1{CustomerID: "1906", Name: "Grace Hopper", Email: grace, CreatedAt: time.Now().UTC()}
	if err := created.Publish(ctx, e); err != nil {
		return err
	}
	q.say("log", "the release before this one has left an event of version 1: %s", e.Name)
	return app.Stop(ctx)
}

// walkThrough creates two customers over HTTP and waits for what mailer does
// about them: one gets a mail, the other has no address, and its event becomes
// a dead letter.
func (q *quickstart) walkThrough(ctx context.Context, address string) error {
	for _, customer := range []string{
		`{"givenName":"Ada","familyName":"Lovelace","email":"` + ada + `"}`,
		`{"familyName":"Nobody"}`,
	} {
		answer, err := request(ctx, http.MethodPost, "http://"+address+"/customers", customer)
		if err != nil {
			return err
		}
		q.say("sales-api", "POST /customers %s → %s", customer, answer)
	}
	// Grace is the customer of publishV1. Mails and refusals come in any order: there is
	// none between keys.
	missing := map[string]bool{grace: true, ada: true}
	var refused error
	// Three outcomes are awaited: two mails and one refusal.
	for len(missing) > 0 || refused == nil {
		select {
		case to := <-q.mails:
			delete(missing, to)
		case refused = <-q.refused:
			q.say("mailer", "refuses Nobody for good: %v; the event goes to the topic %s.mailer-dev.dlq", refused, sales.CustomerCreatedTopic.In("Development"))
		// Ctrl-C is not a failure.
		case <-ctx.Done():
			return nil
		}
	}
	answer, err := request(ctx, http.MethodGet, "http://"+address+"/customers", "")
	if err != nil {
		return err
	}
	q.say("sales-api", "GET /customers → %s", answer)
	return nil
}

// request sends a request and returns the body of the answer. A status other
// than 2xx is an error.
func request(ctx context.Context, method, url, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	// Connections are not kept: the leak check of the tests would find them.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	// Also of an answer that is not a success: its body says why.
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	return strings.TrimSpace(string(answer)), err
}
