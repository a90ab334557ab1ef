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

// maxAnswer bounds an answer, in bytes. Generated schemas may have megabytes; lists of
// subjects are smaller.
const maxAnswer = 8 << 20

// newClient returns a client of the configured servers. It opens no connection.
func newClient(c *Config) (*sr.Client, error) {
	return sr.NewClient(sr.URLs(c.URLs...), sr.UserAgent("eventbus-go"), sr.LogLevel(sr.LogLevelNone), sr.HTTPClient(httpClient(c)))
}

// httpClient returns a client that never follows a redirect: the request would carry
// the credentials to a server that is not configured.
func httpClient(c *Config) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c.TLS.Clone()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// Requests are rare, so a few connections are enough, and idle ones are closed.
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

// sign returns a function that adds credentials to a request, or nil if there are
// none. Passwords and tokens are read for each request.
func (c *Config) sign(client *http.Client) func(*http.Request) error {
	switch {
	case c.Client != nil:
		// Tokens are fetched by the same client, without the registry's credentials,
		// so its authorities, bounds and refusal of redirects apply too.
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

// granting is the source of tokens for client credentials. It reads the secret each
// time it fetches a token.
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

// tokenError returns an error without the body of the answer, which may quote the
// request.
func tokenError(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Errorf("no token from the authorization server: status %d %s", refused.Response.StatusCode, clip(refused.ErrorCode))
	}
	return fmt.Errorf("no token from the authorization server: %w", err)
}

// bounded bounds answers to maxAnswer.
type bounded struct{ next http.RoundTripper }

// RoundTrip makes reading beyond the bound an error, so that a truncated answer is not
// taken for the whole.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}
