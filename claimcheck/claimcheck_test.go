package claimcheck_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/claimcheck"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
)

type photo struct {
	ID     string `json:"id"`
	Pixels string `json:"pixels"`
}

// photosIn declares the topic with a store.
func photosIn(store claimcheck.Store, config claimcheck.Config) *eventbus.Topic[photo] {
	return eventbus.NewTopic(eventbus.TopicConfig[photo]{
		Domain: "media", Name: "photo", Plural: true, Key: func(p photo) string { return p.ID },
		Codec: claimcheck.New(eventbus.JSON(), store, config),
	})
}

func large(id string) photo { return photo{id, strings.Repeat("x", 5000)} }

// objects returns the files of a folder.
func objects(t *testing.T, dir string) (files []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "sha256", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRoundTrip: small data stays in the log, large data goes to the store, once if
// it is equal, and both are handled alike.
func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		topic := photosIn(claimcheck.Dir(dir), claimcheck.Config{Above: 1000})
		c := kafkatest.NewMemory(t)
		c.Start(t, eventbus.On(topic, func(ctx context.Context, p photo) error {
			if e, _ := eventbus.EnvelopeFrom(ctx); len(e.Data) > 1000 {
				return errors.New("the record carries the data")
			}
			return nil
		}))
		small := photo{"small", "x"}
		kafkatest.Publish(t, c, topic, small, large("a"), large("a"))
		c.Settle(t)
		kafkatest.Handled(t, c, topic, small, large("a"), large("a"))
		if files := objects(t, dir); len(files) != 1 {
			t.Errorf("objects %v, want one", files)
		}
		for _, r := range c.Memory().Records(topic.In(c.Environment())) {
			_, is := r.Header("ce_dataref")
			if len(r.Value) > 1000 || is != (len(r.Value) == 0) {
				t.Errorf("a record of %d bytes, reference %t", len(r.Value), is)
			}
		}
	})
}

// TestObjectIsGoneOrAltered: such an event becomes a dead letter with its reference,
// and is handled once the object is back.
func TestObjectIsGoneOrAltered(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"gone": os.Remove,
		// The same length, and still a photo: only the digest shows the change.
		"altered": func(path string) error {
			data, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, bytes.Replace(data, []byte("xx"), []byte("yy"), 1), 0o600))
		},
		"cut short": func(path string) error { return os.Truncate(path, 10) },
		"longer":    func(path string) error { return os.Truncate(path, 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				topic := photosIn(claimcheck.Dir(dir), claimcheck.Config{Above: 1000})
				c := kafkatest.NewMemory(t)
				kafkatest.Publish(t, c, topic, large("a"))
				file := objects(t, dir)[0]
				whole, err := os.ReadFile(file)
				if err == nil {
					err = harm(file)
				}
				if err != nil {
					t.Fatal(err)
				}
				c.Start(t, eventbus.On(topic, func(context.Context, photo) error { return nil }))
				c.Settle(t)
				letters := kafkatest.DeadLettered[photo](t, c, topic)
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				if _, ok := letters[0].Record.Header("ce_" + claimcheck.Reference); !ok || !strings.Contains(letters[0].Error, "store") && !strings.Contains(letters[0].Error, "altered") {
					t.Errorf("%+v", letters[0])
				}
				if err := os.WriteFile(file, whole, 0o600); err != nil {
					t.Fatal(err)
				}
				kafkatest.Redeliver(t, c, topic)
				c.Settle(t)
				kafkatest.Handled(t, c, topic, large("a"))
			})
		})
	}
}

// TestStoreIsDown: events wait for the store by the retry policy, and a publish says
// that it may work later.
func TestStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: claimcheck.Dir(t.TempDir())}
		topic := photosIn(store, claimcheck.Config{Above: 1000})
		c := kafkatest.NewMemory(t)
		kafkatest.Publish(t, c, topic, large("a"))
		store.down.Store(true)
		bus := c.Start(t, eventbus.On(topic, func(context.Context, photo) error { return nil }, eventbus.Retry(resilience.Retry{Elapsed: time.Hour})))
		err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), large("b"))
		if err == nil || errors.Is(err, eventbus.ErrSerialization) || !strings.Contains(err.Error(), "can't be encoded now") {
			t.Errorf("publishing without the store: %v", err)
		}
		time.Sleep(time.Minute) // of the bubble: attempts fail meanwhile
		store.down.Store(false)
		c.Settle(t)
		kafkatest.Handled(t, c, topic, large("a"))
	})
}

// flaky is a store that can be down.
type flaky struct {
	claimcheck.Store
	down atomic.Bool
}

var errDown = errors.New("the store does not answer")

func (f *flaky) Put(ctx context.Context, digest [sha256.Size]byte, data []byte) (string, error) {
	if f.down.Load() {
		return "", errDown
	}
	return f.Store.Put(ctx, digest, data)
}

func (f *flaky) Get(ctx context.Context, reference string, most int) ([]byte, error) {
	if f.down.Load() {
		return nil, errDown
	}
	return f.Store.Get(ctx, reference, most)
}

// TestHostileReferences: a reference can't name another file, and sizes are checked
// before anything is read.
func TestHostileReferences(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := claimcheck.Dir(filepath.Join(dir, "store"))
	if _, err := store.Put(t.Context(), sha256.Sum256(nil), nil); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{"../secret", "sha256/../../secret", "/etc/passwd", secret, "", "sha256/aa/" + strings.Repeat("A", 64), "sha256/aa/" + strings.Repeat("a", 64) + "\n"} {
		if data, err := store.Get(t.Context(), reference, 100); !errors.Is(err, claimcheck.ErrMissing) {
			t.Errorf("%q: %q, %v", reference, data, err)
		}
	}
	topic := photosIn(store, claimcheck.Config{Above: 50, MaxBytes: 100})
	for size, want := range map[string]string{"101": "MaxBytes is 100", "-1": "not a size", "": "not a size", "1e9": "not a size", "99999999999999999999": "not a size"} {
		e := &eventbus.Envelope{Type: topic.Type(), Extensions: map[string]string{claimcheck.Reference: "sha256/aa/" + strings.Repeat("a", 64), claimcheck.Size: size}}
		if _, err := topic.Decode(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("size %q: %v", size, err)
		}
	}
	if _, err := topic.Encode(large("a")); err == nil || !strings.Contains(err.Error(), "MaxBytes is 100") {
		t.Error(err)
	}
}

// TestFolderMissing: a file system that is not mounted does not count as a missing
// object, which would make every event a dead letter.
func TestFolderMissing(t *testing.T) {
	for name, path := range map[string]string{"no directory": filepath.Join(t.TempDir(), "not mounted"), "an empty mount point": t.TempDir()} {
		if _, err := claimcheck.Dir(path).Get(t.Context(), "sha256/aa/"+strings.Repeat("a", 64), 1); err == nil || errors.Is(err, claimcheck.ErrMissing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSweep: objects older than the age are removed, unless they were put again.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	store := claimcheck.Dir(dir)
	put := func(text string) string {
		reference, err := store.Put(t.Context(), sha256.Sum256([]byte(text)), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return reference
	}
	old, again := put("old"), put("again")
	put("new")
	past := time.Now().Add(-48 * time.Hour)
	for _, reference := range []string{old, again} {
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(reference)), past, past); err != nil {
			t.Fatal(err)
		}
	}
	put("again")
	if n, err := store.Sweep(t.Context(), 24*time.Hour); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := store.Get(t.Context(), old, 10); !errors.Is(err, claimcheck.ErrMissing) {
		t.Error(err)
	}
	if data, err := store.Get(t.Context(), again, 10); string(data) != "again" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := store.Sweep(t.Context(), 0); err == nil {
		t.Error("Sweep takes an age of zero")
	}
	if n, err := claimcheck.Dir(filepath.Join(dir, "none")).Sweep(t.Context(), time.Hour); n != 0 || err != nil {
		t.Error(n, err)
	}
}
