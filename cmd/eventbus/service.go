package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/doctor"
)

// tokenVariable names the environment variable with the bearer token of
// services' admin handlers. A flag would show the token in the list of
// processes.
const tokenVariable = "EVENTBUS_ADMIN_TOKEN" //nolint:gosec // a name, not a secret

// service asks admin handlers. It follows no redirect: the token is for the
// address that the operator named, and a redirect could lead it to another, or
// from https to http.
var service = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// authorize adds the token to a request, if there is one. Over plain HTTP it is
// sent to this machine alone: elsewhere it could be read on the way.
func authorize(r *http.Request) error {
	// No token is no error: an admin handler may be open to this machine.
	token := os.Getenv(tokenVariable)
	if token == "" {
		return nil
	}
	// Loopback takes host:port, as listeners have it; the port does not matter to it.
	if r.URL.Scheme != "https" && !doctor.Loopback([]string{net.JoinHostPort(r.URL.Hostname(), "0")}) {
		return fmt.Errorf("%s is not sent to %s over plain http, where it could be read: use https, a tunnel to this machine, or unset %s", tokenVariable, r.URL.Host, tokenVariable)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// refusal returns the error that a redirect or a response of 400 or above stands for: the
// message of the admin handler, if the response has one.
func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("the service refuses the token (%s): set %s to the one that it was configured with", resp.Status, tokenVariable)
	}
	// The address comes from the server: it is quoted and cut.
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("the service answers %s, to %.200q: name that address if it is the one", strings.TrimSpace(resp.Status), to)
	}
	// The address may be that of any server: the message is bounded.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	// The form in which admin handlers give errors. What has another form is most often
	// the page of a proxy, of which the status says more than the text.
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Error != "" {
		return fmt.Errorf("%s (%s)", problem.Error, resp.Status)
	}
	return fmt.Errorf("the service answers %s", strings.TrimSpace(resp.Status))
}
