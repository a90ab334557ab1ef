package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/secret"
)

var customer = registry.Definition{Type: registry.Avro, Text: `{"type":"record","name":"Created","namespace":"sales","fields":[{"name":"id","type":"string"}]}`}

func server(t *testing.T, handle http.HandlerFunc, change ...func(*registry.Config)) *registry.Registry {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	c := registry.Config{URLs: []string{s.URL}, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&c)
	}
	r, err := registry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// unavailable reports whether an error makes an event wait. It checks whether the bus
// wraps a codec's error as a serialization error.
func unavailable(err error) bool {
	topic := eventbus.NewTopic(eventbus.TopicConfig[struct{}]{Domain: "a", Name: "b", Type: "T", Codec: failing{err}})
	_, wrapped := topic.Encode(struct{}{})
	return wrapped != nil && !errors.Is(wrapped, eventbus.ErrSerialization)
}

type failing struct{ err error }

func (failing) ContentType() string { return "a/b" }

func (f failing) Encode(_ context.Context, dst []byte, _ *eventbus.Envelope, _ any) ([]byte, error) {
	return dst, f.err
}

func (f failing) Decode(context.Context, *eventbus.Envelope, any) error { return f.err }

func TestErrorsHaveClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, code int
		message      string
		is           error
		unavailable  bool
		want         string
	}{
		{status: 500, code: 50001, message: "disk", unavailable: true, want: "answers 500 disk"},
		{status: 503, unavailable: true, want: "answers 503"},
		{status: 429, unavailable: true, want: "answers 429"},
		{status: 401, unavailable: true, want: "refuses the credentials (401)"},
		{status: 403, unavailable: true, want: "refuses the credentials (403)"},
		{status: 307, unavailable: true, want: "redirects (307), which is not followed"},
		{status: 404, code: 40403, message: "Schema 7 not found", is: registry.ErrUnknown, want: "404 Schema 7 not found"},
		{status: 404, message: "default backend", unavailable: true, want: "not a schema registry (404 default backend)"},
		{status: 404, code: 404, message: "HTTP 404 Not Found", unavailable: true, want: "not a schema registry"},
		{status: 422, code: 42205, message: "Subject s is in read-only mode", unavailable: true, want: "nothing new for now: Subject s"},
		{status: 409, code: 409, message: "reader field\nmail has no default", is: registry.ErrIncompatible, want: "incompatible: reader field mail has no default"},
		{status: 422, code: 42201, message: "bad", is: registry.ErrInvalid, want: "invalid: bad"},
		{status: 400, message: "what", want: "answers 400 what"},
	} {
		r := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(c.status)
			fmt.Fprintf(w, `{"error_code":%d,"message":%q}`, c.code, c.message)
		})
		_, err := r.Register(t.Context(), "s", customer, false)
		if err == nil || unavailable(err) != c.unavailable || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q in it", c.status, err, c.want)
		}
	}
	down, err := registry.New(registry.Config{URLs: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := down.Latest(t.Context(), "s"); !unavailable(err) {
		t.Errorf("a registry that is down: %v", err)
	}
}

// TestNoRegistry: the answer of a server that is not a registry is neither cached nor
// taken for a registry's.
func TestNoRegistry(t *testing.T) {
	t.Parallel()
	wrong := server(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	if err := wrong.Check(t.Context(), "s", customer); !unavailable(err) || errors.Is(err, registry.ErrUnknown) {
		t.Errorf("a schema is compatible with what nobody knows: %v", err)
	}
	if _, err := wrong.Schema(t.Context(), registry.ID{GUID: [16]byte{1}}); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("a registry without GUIDs: %v", err)
	}
	var answers atomic.Bool
	r := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if answers.Load() {
			fmt.Fprint(w, `{"subject":"s","version":1,"id":7,"schema":"\"string\""}`)
		} else {
			fmt.Fprint(w, `{"status":"UP"}`)
		}
	})
	ask := func() error {
		_, err1 := r.Schema(t.Context(), registry.ID{Number: 7})
		_, err2 := r.Schema(t.Context(), registry.ID{GUID: [16]byte{2}})
		_, err3 := r.Latest(t.Context(), "s")
		_, err4 := r.Lookup(t.Context(), "s", customer, false)
		for _, err := range []error{err1, err2, err3, err4} {
			if (err == nil) != answers.Load() || err != nil && !unavailable(err) {
				t.Errorf("answers %t: %v", answers.Load(), err)
			}
		}
		return errors.Join(err1, err2, err3, err4)
	}
	_ = ask()
	answers.Store(true)
	if err := ask(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestDeletedVersion: a version that other schemas refer to is found even if it was
// deleted.
func TestDeletedVersion(t *testing.T) {
	t.Parallel()
	r := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("deleted") != "true" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code":40402,"message":"Version 3 not found"}`)
			return
		}
		fmt.Fprint(w, `{"subject":"s","version":3,"id":7,"schema":"\"string\""}`)
	})
	if s, err := r.Version(t.Context(), "s", 3); err != nil || s.ID != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := r.Latest(t.Context(), "s"); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("a deleted version is the newest: %v", err)
	}
}

func TestSchemasAreAskedForOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	release := make(chan struct{})
	r := server(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		<-release
		fmt.Fprint(w, `{"schema":"\"string\""}`)
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if s, err := r.Schema(t.Context(), registry.ID{Number: 7}); err != nil || s.Text != `"string"` || s.Type != registry.Avro || s.ID != 7 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	close(release)
	all.Wait()
	before := calls.Load()
	if _, err := r.Schema(t.Context(), registry.ID{Number: 7}); err != nil || calls.Load() != before || before > 20 {
		t.Errorf("%v; %d calls, then %d", err, before, calls.Load())
	}
}

func TestUnknownIDsAreWaitedForAWhile(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	missing := func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40403,"message":"Schema not found"}`)
	}
	r := server(t, missing)
	for range 3 {
		if _, err := r.Schema(t.Context(), registry.ID{Number: 7}); !unavailable(err) || !errors.Is(err, registry.ErrUnknown) {
			t.Errorf("at first: %v", err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls for three events, want 1", calls.Load())
	}
	r = server(t, missing, func(c *registry.Config) { c.UnknownFor = time.Nanosecond })
	_, _ = r.Schema(t.Context(), registry.ID{Number: 7})
	if _, err := r.Schema(t.Context(), registry.ID{Number: 7}); unavailable(err) || !strings.Contains(err.Error(), "schema id 7 has been unknown for") {
		t.Errorf("later: %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	r := server(t, func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat("x", 1<<20))
		for range 20 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	if _, err := r.Schema(t.Context(), registry.ID{Number: 1}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("an answer without an end: %v", err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	r := server(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		fmt.Fprint(w, `{"schema":"\"string\""}`)
	}, func(c *registry.Config) { c.CacheSize = 2 })
	for range 3 {
		for id := range 3 {
			if _, err := r.Schema(t.Context(), registry.ID{Number: id + 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if calls.Load() <= 3 {
		t.Errorf("three schemas in a cache of two cost %d calls", calls.Load())
	}
}

func TestCredentialsGoToTheRegistryAlone(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for name, change := range map[string]func(*registry.Config){
		"Bearer t0ken-secret": func(c *registry.Config) { c.Token = secret.Text("t0ken-secret") },
		"Basic dTpzZWNyZXQ=":  func(c *registry.Config) { c.Username, c.Password = "u", secret.Text("secret") },
		"Bearer granted-secret": func(c *registry.Config) {
			c.Client = &registry.ClientCredentials{TokenURL: c.URLs[0] + "/token", ClientID: "i", ClientSecret: secret.Text("secret")}
		},
		"": nil,
	} {
		var got atomic.Value
		r := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token":"granted-secret","token_type":"Bearer","expires_in":3600}`)
				return
			}
			got.Store(r.Header.Get("Authorization"))
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, func(c *registry.Config) {
			if change != nil {
				change(c)
			}
			if text := fmt.Sprintf("%v %+v %#v %s", *c, *c, *c, c.LogValue()); strings.Contains(text, "secret") {
				t.Errorf("printed: %s", text)
			}
		})
		_, err := r.Subjects(t.Context())
		if got.Load() != name || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Authorization %q, want %q; %v", got.Load(), name, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	refusing := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"secret"}`)
	}, func(c *registry.Config) {
		c.Client = &registry.ClientCredentials{TokenURL: c.URLs[0], ClientID: "i", ClientSecret: secret.Text("secret")}
	})
	if _, err := refusing.Subjects(t.Context()); !unavailable(err) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "status 401 invalid_client") {
		t.Errorf("no token: %v", err)
	}
}

func TestConfigurationFaultsAreNamed(t *testing.T) {
	t.Parallel()
	_, err := registry.New(registry.Config{
		URLs: []string{"http://user:secret@host", "ftp://host", "http://host?x=secret"}, Token: secret.Text("a"), Username: "b",
		Client: &registry.ClientCredentials{}, Timeout: -1,
	})
	for _, want := range []string{"URLs[0] has a user", "URLs[1] is not an http", "URLs[2] has a query", "more than one of", "Client.TokenURL is no", "ClientID and ClientSecret", "can't be negative"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if _, err := registry.New(registry.Config{}); err == nil || !strings.Contains(err.Error(), "name the registry") {
		t.Errorf("an empty configuration: %v", err)
	}
	lazy := registry.Lazy(func() (registry.Config, error) { return registry.Config{}, errors.New("no file") })
	if _, err := lazy.Subjects(t.Context()); err == nil || !strings.Contains(err.Error(), "configuration: no file") {
		t.Errorf("a lazy one: %v", err)
	}
}

func TestFraming(t *testing.T) {
	t.Parallel()
	for _, index := range [][]int{{0}, {1, 0}, {3, 2, 1}} {
		b := registry.AppendPrefix(nil, 7, registry.AppendIndex(nil, index))
		id, rest, err := registry.ParseID(append(b, "data"...))
		if err != nil || id.Number != 7 {
			t.Errorf("%v, %v", id, err)
		}
		got, rest, err := registry.ParseIndex(rest)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(index) || string(rest) != "data" {
			t.Errorf("%v %q %v, want %v", got, rest, err, index)
		}
	}
	h := registry.HeaderOf(&registry.Schema{ID: 7, GUID: "0199aabb-ccdd-7eef-8123-456789abcdef"}, nil)
	id, _, err := registry.ParseID(h.Value)
	if err != nil || id.String() != "0199aabb-ccdd-7eef-8123-456789abcdef" || len(h.Value) != 17 {
		t.Errorf("% x: %v, %v", h.Value, id, err)
	}
	for _, bad := range [][]byte{nil, {0}, {0, 1, 2, 3}, {1, 2}, {2, 0, 0, 0, 0}} {
		if _, _, err := registry.ParseID(bad); err == nil {
			t.Errorf("% x is taken for an id", bad)
		}
	}
	for _, bad := range [][]byte{nil, {0x80}, {1}, {4, 0}, {0xfe, 0xff, 0xff, 0xff, 0x0f}} {
		if index, _, err := registry.ParseIndex(bad); err == nil {
			t.Errorf("% x is taken for the indexes %v", bad, index)
		}
	}
}

func FuzzFraming(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 4, 2, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, rest, err := registry.ParseID(b); err == nil {
			_, _, _ = registry.ParseIndex(rest)
		}
	})
}
