package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// tokenVariable holds the bearer token of services' admin handlers.
const tokenVariable = "EVENTBUS_ADMIN_TOKEN" //nolint:gosec // a name, not a secret

// authorize adds the token to a request, if there is one. It is not sent where
// others could read it: over plain HTTP it stays on this machine.
func authorize(r *http.Request) error {
	token := os.Getenv(tokenVariable)
	if token == "" {
		return nil
	}
	if r.URL.Scheme != "https" && !loopback([]string{net.JoinHostPort(r.URL.Hostname(), "0")}) {
		return fmt.Errorf("%s is not sent to %s over plain http, where it could be read: use https, a tunnel to this machine, or unset %s", tokenVariable, r.URL.Host, tokenVariable)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// refusal is the error of an answer that is none.
func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("the service refuses the token (%s): set %s to the one that it was configured with", resp.Status, tokenVariable)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Error != "" {
		return fmt.Errorf("%s (%s)", problem.Error, resp.Status)
	}
	return fmt.Errorf("the service answers %s", strings.TrimSpace(resp.Status))
}
