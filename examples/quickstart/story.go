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

// The people of the story.
const (
	grace = "grace@example.com"
	ada   = "ada@example.com"
)

// tellHistory leaves an event in the log as the release before this one published
// it.
func (q *quickstart) tellHistory(ctx context.Context) error {
	var created *eventbus.Publisher[sales.CustomerCreatedV1]
	app := q.service("sales-api", fxmodule.Publisher(sales.CustomerCreatedV1Topic), fx.Populate(&created))
	ctx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(ctx); err != nil {
		return fmt.Errorf("the previous release does not start: %w", err)
	}
	e := sales.CustomerCreatedV1{CustomerID: "1906", Name: "Grace Hopper", Email: grace, CreatedAt: time.Now().UTC()}
	if err := created.Publish(ctx, e); err != nil {
		return err
	}
	q.say("log", "the release before this one has left an event of version 1: %s", e.Name)
	return app.Stop(ctx)
}

// tellStory makes two customers over HTTP and waits for what mailer makes
// of them.
func (q *quickstart) tellStory(ctx context.Context, address string) error {
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
	missing := map[string]bool{grace: true, ada: true}
	var refused error
	for len(missing) > 0 || refused == nil {
		select {
		case to := <-q.mails:
			delete(missing, to)
		case refused = <-q.refused:
			q.say("mailer", "refuses Nobody for good: %v; the event goes to the topic %s.mailer-dev.dlq", refused, sales.CustomerCreatedTopic.In("Development"))
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

func request(ctx context.Context, method, url, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	return strings.TrimSpace(string(answer)), err
}
