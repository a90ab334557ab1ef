package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// maxAnswer bounds what is read of one answer, in bytes. Schemas of megabytes
// exist, generated ones; lists of subjects are smaller.
const maxAnswer = 8 << 20

// newClient returns a client of the configured servers. It opens no connection.
func newClient(c *Config) (*sr.Client, error) {
	options := []sr.ClientOpt{
		sr.URLs(c.URLs...), sr.UserAgent("eventbus-go"), sr.LogLevel(sr.LogLevelNone),
		sr.HTTPClient(httpClient(c)),
	}
	switch {
	case c.Token != "":
		options = append(options, sr.BearerToken(c.Token))
	case c.Username != "" || c.Password != "":
		options = append(options, sr.BasicAuth(c.Username, c.Password))
	}
	return sr.NewClient(options...)
}

// httpClient never follows a redirect: credentials would go with the request to a
// server that nobody has named.
func httpClient(c *Config) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c.TLS.Clone()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.MaxIdleConnsPerHost = 4
	transport.IdleConnTimeout = 30 * time.Second
	client := &http.Client{
		Transport:     bounded{transport},
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	o := c.Client
	if o == nil {
		return client
	}
	granting := clientcredentials.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, TokenURL: o.TokenURL, Scopes: o.Scopes}
	source := granting.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client))
	signing := *client
	signing.Transport = signed{source, client.Transport}
	return &signing
}

// signed adds a token that is fetched when needed, and again before it expires.
type signed struct {
	tokens oauth2.TokenSource
	next   http.RoundTripper
}

func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := s.tokens.Token()
	if err != nil {
		return nil, tokenError(err)
	}
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	return s.next.RoundTrip(r)
}

// tokenError leaves out the body of the answer, which may quote the request.
func tokenError(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Errorf("no token from the authorization server: status %d %s", refused.Response.StatusCode, clip(refused.ErrorCode))
	}
	return fmt.Errorf("no token from the authorization server: %w", err)
}

// bounded ends answers that are longer than maxAnswer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}
