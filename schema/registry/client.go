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
	return sr.NewClient(sr.URLs(c.URLs...), sr.UserAgent("eventbus-go"), sr.LogLevel(sr.LogLevelNone), sr.HTTPClient(httpClient(c)))
}

// httpClient never follows a redirect: credentials would go with the request to a
// server that nobody has named.
func httpClient(c *Config) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c.TLS.Clone()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// Schemas are asked for seldom: a few connections are enough, and idle ones go.
	transport.MaxIdleConnsPerHost = 4
	transport.IdleConnTimeout = 30 * time.Second
	client := &http.Client{
		Transport:     bounded{transport},
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	sign := c.sign(client)
	if sign == nil {
		return client
	}
	signing := *client
	signing.Transport = signed{sign, client.Transport}
	return &signing
}

// sign returns what adds credentials to a request, or nil without any. They are read
// for each request.
func (c *Config) sign(client *http.Client) func(*http.Request) error {
	switch {
	case c.Client != nil:
		// Tokens are fetched by the same client, without credentials of the registry: its
		// authorities, bounds and refusal of redirects count there too.
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
		// A token is fetched when needed, and again before it expires.
		tokens := oauth2.ReuseTokenSource(nil, granting{ctx, c.Client})
		return func(r *http.Request) error {
			token, err := tokens.Token()
			if err != nil {
				return tokenError(err)
			}
			token.SetAuthHeader(r)
			return nil
		}
	case !c.Token.IsZero():
		return func(r *http.Request) error {
			token, err := c.Token.Reveal()
			r.Header.Set("Authorization", "Bearer "+token)
			return err
		}
	case c.Username != "" || !c.Password.IsZero():
		return func(r *http.Request) error {
			password, err := c.Password.Reveal()
			r.SetBasicAuth(c.Username, password)
			return err
		}
	}
	return nil
}

// granting is the source of tokens by client credentials, with the secret as it is
// when one is fetched.
type granting struct {
	ctx context.Context
	*ClientCredentials
}

// Token fetches a token.
func (g granting) Token() (*oauth2.Token, error) {
	secret, err := g.ClientSecret.Reveal()
	if err != nil {
		return nil, err
	}
	c := clientcredentials.Config{ClientID: g.ClientID, ClientSecret: secret, TokenURL: g.TokenURL, Scopes: g.Scopes}
	return c.Token(g.ctx)
}

// signed adds credentials to requests.
type signed struct {
	sign func(*http.Request) error
	next http.RoundTripper
}

// RoundTrip signs a copy: a transport may not change the request that it is given
// (http.RoundTripper).
func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := s.sign(r); err != nil {
		return nil, err
	}
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

// RoundTrip lets reading fail beyond the bound, with an error that says so, in place of
// giving a part of an answer for the whole.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}
