package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"

	"github.com/eventbus-go/eventbus"
)

// Registry is a schema registry, or a directory in place of one. It is safe for
// concurrent use, connects on demand, and need not be closed.
type Registry struct {
	load func() (*source, error)
}

// source answers calls with one configuration.
type source struct {
	config  Config
	client  *sr.Client // nil if there are no servers
	offline *directory // nil if there is none
	cache   *cache
	calls   singleflight.Group
}

// New returns a registry. The only I/O is reading Config.Offline. The error lists
// everything that is wrong with the configuration.
func New(c Config) (*Registry, error) {
	s, err := newSource(c)
	if err != nil {
		return nil, fmt.Errorf("registry.New: %w", err)
	}
	return &Registry{load: func() (*source, error) { return s, nil }}, nil
}

// Lazy returns a registry whose configuration is requested once, when the first codec of
// a bus starts or works. It is for a package of contracts, which declares its topics
// before anything is configured.
func Lazy(configure func() (Config, error)) *Registry {
	return &Registry{load: sync.OnceValues(func() (*source, error) {
		c, err := configure()
		if err != nil {
			return nil, fmt.Errorf("the schema registry's configuration: %w", err)
		}
		s, err := newSource(c)
		if err != nil {
			return nil, fmt.Errorf("the schema registry's configuration: %w", err)
		}
		return s, nil
	})}
}

// newSource checks the configuration and reads the directory. It connects to nothing.
func newSource(c Config) (*source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.setDefaults()
	s := &source{config: c, cache: newCache(c.CacheSize)}
	var err error
	if c.Offline != nil {
		if s.offline, err = readDirectory(c.Offline); err != nil {
			return nil, err
		}
	}
	if len(c.URLs) > 0 {
		s.client, err = newClient(&c)
	}
	return s, err
}

// Schema returns the schema with an id: from memory, the directory, or the servers.
// Concurrent calls for one id share a request.
func (r *Registry) Schema(ctx context.Context, id ID) (*Schema, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	known, missing := s.cache.get(id)
	if known != nil {
		return known, nil
	}
	if now := time.Now(); now.Before(missing.until) {
		return nil, s.unknown(id, missing, now)
	}
	found := s.calls.DoChan("id "+id.String(), func() (any, error) {
		// The call serves all waiting callers, so it must not end with one of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
		defer cancel()
		return s.schema(ctx, id)
	})
	// A caller whose context ends does not wait for the shared call.
	select {
	case result := <-found:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*Schema), nil
	case <-ctx.Done():
		return nil, eventbus.Unavailable(fmt.Errorf("schema %s: %w", id, context.Cause(ctx)))
	}
}

// schema asks the directory first: what was pulled should be used even if the servers
// could give another answer.
func (s *source) schema(ctx context.Context, id ID) (*Schema, error) {
	if found := s.offline.byID(id); found != nil {
		s.cache.put(id, found)
		return found, nil
	}
	found, err := s.fetch(ctx, id)
	switch {
	case err == nil:
		s.cache.put(id, found)
		return found, nil
	case errors.Is(err, ErrUnknown):
		now := time.Now()
		return nil, s.unknown(id, s.cache.missing(id, err, now, s.config.UnknownFor), now)
	}
	return nil, err
}

// fetch asks the servers in turn until one answers, as sr.Client does.
func (s *source) fetch(ctx context.Context, id ID) (*Schema, error) {
	doing := "schema " + id.String()
	if s.client == nil {
		return nil, fmt.Errorf("%s: %w (offline)", doing, ErrUnknown)
	}
	if id.GUID != ([16]byte{}) {
		answer, err := s.client.SchemaByGUID(ctx, id.String())
		// A registry without GUIDs does not know the path, and also returns 404.
		if refused, ok := errors.AsType[*sr.ResponseError](err); ok && refused.StatusCode == http.StatusNotFound {
			return nil, fmt.Errorf("%s: %w (%d %s)", doing, ErrUnknown, refused.StatusCode, clip(refused.Message))
		}
		if err != nil {
			return nil, classify(doing, err)
		}
		if answer.Schema.Schema == "" {
			return nil, elsewhere(doing)
		}
		found := schemaOf(&answer)
		found.GUID = id.String()
		return found, nil
	}
	answer, err := s.client.SchemaByID(ctx, id.Number)
	switch {
	case err != nil:
		return nil, classify(doing, err)
	case answer.Schema == "":
		return nil, elsewhere(doing)
	}
	return &Schema{ID: id.Number, Definition: definitionOf(&answer)}, nil
}

// unknown returns the error for an unknown id: first one that may pass, since
// registries replicate, and after Config.UnknownFor a permanent one.
func (s *source) unknown(id ID, u unknown, now time.Time) error {
	if waited := now.Sub(u.first); s.client == nil || waited >= s.config.UnknownFor {
		return fmt.Errorf("schema id %s has been unknown for %v: %w", id, waited.Round(time.Second), u.err)
	}
	return eventbus.Unavailable(u.err)
}

// Latest returns the newest schema of a subject.
func (r *Registry) Latest(ctx context.Context, subject string) (*Schema, error) {
	return r.Version(ctx, subject, -1)
}

// Version returns one version of a subject, or the newest for −1.
func (r *Registry) Version(ctx context.Context, subject string, version int) (*Schema, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if found := s.offline.version(subject, version); found != nil {
		return found, nil
	}
	doing := "subject " + subject
	if s.client == nil {
		return nil, fmt.Errorf("%s: %w (offline)", doing, ErrUnknown)
	}
	// A version with a given number is returned even if it was (softly) deleted: other
	// schemas refer to it, and topics may keep its events longer.
	if version > 0 {
		ctx = sr.WithParams(ctx, sr.ShowDeleted)
	}
	answer, err := s.client.SchemaByVersion(ctx, subject, version)
	return known(doing, &answer, err)
}

// Lookup returns a subject's schema with exactly this definition.
func (r *Registry) Lookup(ctx context.Context, subject string, d Definition, normalize bool) (*Schema, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if found := s.offline.lookup(subject, &d); found != nil {
		return found, nil
	}
	doing := "subject " + subject
	if s.client == nil {
		return nil, fmt.Errorf("%s has no such schema: %w (offline)", doing, ErrUnknown)
	}
	request, err := d.request()
	if err != nil {
		return nil, err
	}
	answer, err := s.client.LookupSchema(parameters(ctx, normalize), subject, request)
	return known(doing, &answer, err)
}

// Register adds a schema to a subject, or returns the same one if it is there already.
// The registry compares it with earlier ones: see [ErrIncompatible].
func (r *Registry) Register(ctx context.Context, subject string, d Definition, normalize bool) (*Schema, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if s.client == nil {
		return nil, fmt.Errorf("subject %s: a schema can't be registered offline: set URLs", subject)
	}
	request, err := d.request()
	if err != nil {
		return nil, err
	}
	answer, err := s.client.CreateSchema(parameters(ctx, normalize), subject, request)
	return known("registering at subject "+subject, &answer, err)
}

// Check returns nil if a schema could be registered at a subject, or else
// [ErrIncompatible] with the registry's reasons. A new subject accepts any schema.
func (r *Registry) Check(ctx context.Context, subject string, d Definition) error {
	s, err := r.load()
	if err != nil {
		return err
	}
	if s.client == nil {
		return fmt.Errorf("subject %s: compatibility can't be checked offline: set URLs", subject)
	}
	request, err := d.request()
	if err != nil {
		return err
	}
	answer, err := s.client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, -1, request)
	if err = classify("subject "+subject, err); err != nil {
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		return err
	}
	if !answer.Is {
		// Apicurio gives its reasons only when a schema is registered.
		reasons := strings.Join(answer.Messages, "; ")
		return fmt.Errorf("subject %s: %w: %s", subject, ErrIncompatible, clip(cmp.Or(reasons, "it gives no reasons, as it does when the schema is registered")))
	}
	return nil
}

// Subjects returns the names of all subjects.
func (r *Registry) Subjects(ctx context.Context) ([]string, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if s.client == nil {
		return s.offline.subjects(), nil
	}
	subjects, err := s.client.Subjects(ctx)
	return subjects, classify("subjects", err)
}

// Versions returns the versions of a subject.
func (r *Registry) Versions(ctx context.Context, subject string) ([]int, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if s.client == nil {
		return s.offline.versions(subject), nil
	}
	versions, err := s.client.SubjectVersions(ctx, subject)
	return versions, classify("subject "+subject, err)
}

// SchemaURI returns the URI of a schema at the first server, for CloudEvents'
// dataschema, or "" if the registry is offline.
func (r *Registry) SchemaURI(id int) string {
	s, err := r.load()
	if err != nil || len(s.config.URLs) == 0 {
		return ""
	}
	return strings.TrimSuffix(s.config.URLs[0], "/") + schemaPath + fmt.Sprint(id)
}

// Logger returns Config.Logger.
func (r *Registry) Logger() *slog.Logger {
	if s, err := r.load(); err == nil {
		return s.config.Logger
	}
	return slog.Default()
}

// parameters adds query parameters to a request's context.
func parameters(ctx context.Context, normalize bool) context.Context {
	if normalize {
		return sr.WithParams(ctx, sr.Normalize)
	}
	return ctx
}
