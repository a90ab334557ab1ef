package personal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrDeleted is the error of Keys for a key that was deleted permanently: its data is lost. If
// a key can't be found for another reason, the error must be another one.
var ErrDeleted = errors.New("the key was deleted")

// Key is a secret with a name. Printed, it shows only the name.
type Key struct {
	// ID names the key in events: 1 to 100 letters, digits, '-', '_' and '.'. It must not
	// identify the subject, since it stays in the log.
	ID string
	// Secret is the AES-256 key.
	Secret Secret
}

// Secret is 32 bytes that don't print.
type Secret [32]byte

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// MarshalText implements encoding.TextMarshaler, for loggers and encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Keys has the keys of subjects: a database table, or a key management service with a cache. It
// is used for each event, so it must be safe for concurrent use and fast. Errors other than
// ErrDeleted count as temporary: publishes fail with them, and events being handled are retried
// by their policy.
type Keys interface {
	// Current returns the key for new data of a subject, creating one if the subject has none.
	// If the subject was erased it returns ErrDeleted, and the publish is refused.
	Current(ctx context.Context, subject string) (Key, error)
	// Find returns the key with which data was encrypted.
	Find(ctx context.Context, id string) (Key, error)
}

// Ring is Keys in memory, for tests: real keys must outlive the process. The zero value is
// empty and ready to use. It is safe for concurrent use.
type Ring struct {
	mu       sync.Mutex
	subjects map[string]Key
	ids      map[string]Key
	gone     map[string]bool // subjects and ids
}

var _ Keys = (*Ring)(nil)

// Current implements Keys.
func (r *Ring) Current(_ context.Context, subject string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone["subject "+subject] {
		return Key{}, ErrDeleted
	}
	k, ok := r.subjects[subject]
	if !ok {
		if r.subjects == nil {
			r.subjects, r.ids = make(map[string]Key), make(map[string]Key)
		}
		k.ID = rand.Text()
		_, _ = rand.Read(k.Secret[:]) // it never fails
		r.subjects[subject], r.ids[k.ID] = k, k
	}
	return k, nil
}

// Find implements Keys.
func (r *Ring) Find(_ context.Context, id string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.ids[id]
	switch {
	case r.gone["id "+id]:
		return Key{}, ErrDeleted
	case !ok:
		return Key{}, errors.New("there is no such key")
	}
	return k, nil
}

// Erase permanently deletes the keys of a subject.
func (r *Ring) Erase(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone == nil {
		r.gone = make(map[string]bool)
	}
	r.gone["subject "+subject] = true
	if k, ok := r.subjects[subject]; ok {
		r.gone["id "+k.ID] = true
		delete(r.subjects, subject)
		delete(r.ids, k.ID)
	}
}
