package personal

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/eventbus-go/eventbus"
)

// Sealed is the datacontenttype of data that is encrypted as a whole.
const Sealed = "application/vnd.eventbus.sealed"

// Config configures a codec. The zero value is usable.
type Config struct {
	// Subject returns the subject of an event; v is a pointer to the event. If nil, the subject
	// is the event's key. An event without a subject is refused.
	Subject func(e *eventbus.Envelope, v any) string
	// Whole encrypts the data as a whole, whatever its fields. Readers without the codec then
	// can't read any of it.
	Whole bool
}

// New returns a codec that encrypts what inner encodes, and decrypts it before inner decodes.
// Events from before the codec was used are read as they are. New panics if inner or keys is
// nil.
func New(inner eventbus.Codec, keys Keys, config Config) eventbus.Codec {
	if inner == nil || keys == nil {
		panic("personal: New needs a codec and keys")
	}
	if config.Subject == nil {
		config.Subject = func(e *eventbus.Envelope, _ any) string { return string(e.Key) }
	}
	return codec{inner, keys, config}
}

// codec is the codec returned by New.
type codec struct {
	inner  eventbus.Codec
	keys   Keys
	config Config
}

// ContentType implements eventbus.Codec.
func (c codec) ContentType() string {
	if c.config.Whole {
		return Sealed
	}
	// Encrypted strings are still strings, so the inner codec's type applies.
	return c.inner.ContentType()
}

// Unwrap implements eventbus.CodecWrapper.
func (c codec) Unwrap() eventbus.Codec { return c.inner }

// BindsID says that an event's id is needed to read its data. The bus refuses events of
// a topic whose Format leaves ids out.
func (codec) BindsID() {}

// Encode implements eventbus.Codec.
func (c codec) Encode(ctx context.Context, dst []byte, e *eventbus.Envelope, v any) ([]byte, error) {
	if c.config.Whole {
		return c.encodeWhole(ctx, dst, e, v)
	}
	value, err := pointed(v)
	if err != nil {
		return dst, err
	}
	// Such an error prevents personal data from being published in the clear.
	if x := inspect(value.Type()); x.err != nil {
		return dst, x.err
	} else if !x.has {
		return c.inner.Encode(ctx, dst, e, v)
	}
	var k Key
	sealed, err := replace(value, func(text, path string) (string, error) {
		if k.ID == "" { // asked for once, and not for an event without personal data
			if k, err = c.current(ctx, e, v); err != nil {
				return "", err
			}
		}
		b, err := seal(nil, &k, []byte(text), place(e, path))
		return string(b), err
	})
	if err != nil {
		return dst, err
	}
	// Use a new event, so that the publisher's own stays readable.
	p := reflect.New(value.Type())
	p.Elem().Set(sealed)
	return c.inner.Encode(ctx, dst, e, p.Interface())
}

// encodeWhole encrypts the inner codec's data.
func (c codec) encodeWhole(ctx context.Context, dst []byte, e *eventbus.Envelope, v any) ([]byte, error) {
	// Not into dst: no plain text must remain in the buffer that is sent.
	plain, err := c.inner.Encode(ctx, nil, e, v)
	if err != nil {
		return dst, err
	}
	k, err := c.current(ctx, e, v)
	if err != nil {
		return dst, err
	}
	out, err := seal(dst, &k, plain, place(e, ""))
	if err != nil {
		return dst, err
	}
	e.DataContentType = Sealed
	return out, nil
}

// current returns the key for an event to publish.
func (c codec) current(ctx context.Context, e *eventbus.Envelope, v any) (Key, error) {
	subject := c.config.Subject(e, v)
	if subject == "" {
		return Key{}, errors.New("the event has personal data and no subject: give it a key, or set Config.Subject")
	}
	k, err := c.keys.Current(ctx, subject)
	switch {
	case errors.Is(err, ErrDeleted):
		return Key{}, fmt.Errorf("the subject of the event was erased: %w", err)
	case err != nil:
		// Unlike a deleted key, a key that can't be fetched now may be available later.
		return Key{}, eventbus.Unavailable(fmt.Errorf("the key of the event's subject: %w", err))
	}
	return k, nil
}

// Decode implements eventbus.Codec.
func (c codec) Decode(ctx context.Context, e *eventbus.Envelope, v any) error {
	sealed := e.DataContentType == Sealed
	if e.DataContentType == "" && c.config.Whole { // a topic's Format may have no place for it
		_, _, sealed = sealedBy(string(e.Data))
	}
	if sealed {
		return c.decodeWhole(ctx, e, v)
	}
	if err := c.inner.Decode(ctx, e, v); err != nil {
		return err
	}
	value, err := pointed(v)
	if err != nil || !inspect(value.Type()).has {
		return err
	}
	// The same walk as in Encode, so that each string has the path it was bound to.
	opened, err := replace(value, func(text, path string) (string, error) {
		plain, err := c.open(ctx, e, text, path)
		return string(plain), err
	})
	if err == nil {
		value.Set(opened)
	}
	return err
}

// decodeWhole decrypts data that was encrypted as a whole. If the subject was erased, the value
// stays zero.
func (c codec) decodeWhole(ctx context.Context, e *eventbus.Envelope, v any) error {
	text := string(e.Data)
	if _, _, ok := sealedBy(text); !ok && otherVersion(text) == nil {
		return errAltered
	}
	plain, err := c.open(ctx, e, text, "")
	if err != nil || plain == nil {
		return err
	}
	// Use a copy: the caller's envelope keeps the data from the log.
	whole := *e
	whole.Data, whole.DataContentType = plain, c.inner.ContentType()
	err = c.inner.Decode(ctx, &whole, v)
	// An inner codec may have found erased data too.
	e.Shredded = whole.Shredded
	return err
}

// open returns the plain text of an encrypted string, or nil if its key was deleted. It returns
// a string that is not encrypted unchanged.
func (c codec) open(ctx context.Context, e *eventbus.Envelope, text, path string) ([]byte, error) {
	id, rest, ok := sealedBy(text)
	if !ok {
		if err := otherVersion(text); err != nil {
			return nil, fmt.Errorf("the personal data%s: %w", path, err)
		}
		return []byte(text), nil
	}
	k, err := c.keys.Find(ctx, id)
	switch {
	case errors.Is(err, ErrDeleted):
		// It tells the handler that strings are empty because they were erased.
		e.Shredded = true
		return nil, nil
	case err != nil:
		return nil, eventbus.Unavailable(fmt.Errorf("the key %s: %w", id, err))
	}
	plain, err := open(&k, rest, place(e, path))
	if err != nil {
		return nil, fmt.Errorf("the personal data%s: %w", path, err)
	}
	if plain == nil {
		// Not nil, which stands for a deleted key.
		plain = []byte{}
	}
	return plain, nil
}

// place is what a ciphertext is bound to.
func place(e *eventbus.Envelope, path string) string { return e.ID + "\x00" + e.Type + "\x00" + path }

// pointed returns what v points to.
func pointed(v any) (reflect.Value, error) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return reflect.Value{}, errNoPointer
	}
	return p.Elem(), nil
}
