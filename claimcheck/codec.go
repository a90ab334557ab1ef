package claimcheck

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/eventbus-go/eventbus"
)

// Attributes of an event whose data is elsewhere.
const (
	// Reference is the attribute with the reference returned by the Store
	// (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/dataref.md).
	Reference = "dataref"
	// Digest is the attribute with the data's SHA-256, as "sha256:" and 64 hexadecimal
	// digits.
	Digest = "datadigest"
	// Size is the attribute with the data's length in bytes.
	Size = "datasize"
)

// ErrMissing is the error of a Store that does not have the data.
var ErrMissing = errors.New("the data is not in the store")

// Store keeps data by digest. It must be safe for concurrent use.
type Store interface {
	// Put durably stores data under its SHA-256, and returns a reference to it: an absolute or
	// relative URI without spaces, of at most 1,000 bytes. Data that is already stored must be
	// kept as long as new data. Put must not keep the slice.
	Put(ctx context.Context, digest [sha256.Size]byte, data []byte) (reference string, err error)
	// Get returns the data of a reference. The reference comes from an event, so it may be
	// anything. Get must read at most most+1 bytes. The error is ErrMissing if there is no such
	// data; any other error counts as temporary.
	Get(ctx context.Context, reference string, most int) ([]byte, error)
}

// Config configures a codec. The zero value is usable.
type Config struct {
	// Above is the size, in bytes, above which data goes to the Store. Default 256 KiB. If
	// negative, all data does.
	Above int
	// MaxBytes bounds the data of one event, in bytes, when it is published and when it is
	// fetched. Default 64 MiB.
	MaxBytes int
}

// New returns a codec that encodes and decodes with inner, and keeps large data in store.
// Publishers and subscribers of a topic need the same Store; a subscriber without this codec
// finds events without data, which become dead letters.
//
// Above may change at any time: readers go by the event. New panics if inner or store is nil.
func New(inner eventbus.Codec, store Store, config Config) eventbus.Codec {
	if inner == nil || store == nil {
		panic("claimcheck: New needs a codec and a store")
	}
	if config.Above == 0 {
		config.Above = 256 << 10
	}
	if config.MaxBytes <= 0 {
		config.MaxBytes = 64 << 20
	}
	return codec{inner, store, config}
}

// codec is the codec returned by New. The wrapped codec is a field, not embedded, so that
// nothing is inherited by accident.
type codec struct {
	inner  eventbus.Codec
	store  Store
	config Config
}

// ContentType implements eventbus.Codec. It is the data's, wherever that is.
func (c codec) ContentType() string { return c.inner.ContentType() }

// Unwrap implements eventbus.CodecWrapper.
func (c codec) Unwrap() eventbus.Codec { return c.inner }

// Encode implements eventbus.Codec.
func (c codec) Encode(ctx context.Context, dst []byte, e *eventbus.Envelope, v any) ([]byte, error) {
	out, err := c.inner.Encode(ctx, dst, e, v)
	if err != nil {
		return out, err
	}
	data := out[len(dst):]
	if len(data) <= c.config.Above {
		return out, nil
	}
	if len(data) > c.config.MaxBytes {
		return dst, fmt.Errorf("the data has %d bytes, and claimcheck.Config.MaxBytes is %d", len(data), c.config.MaxBytes)
	}
	digest := sha256.Sum256(data)
	reference, err := c.store.Put(ctx, digest, data)
	if err != nil {
		return dst, eventbus.Unavailable(fmt.Errorf("keeping %d bytes in the store: %w", len(data), err))
	}
	// Use a new map: the existing one may be shared.
	extensions := make(map[string]string, len(e.Extensions)+3)
	maps.Copy(extensions, e.Extensions)
	extensions[Reference] = reference
	extensions[Digest] = digestText(digest)
	extensions[Size] = strconv.Itoa(len(data))
	e.Extensions = extensions
	return dst, nil
}

// Decode implements eventbus.Codec.
func (c codec) Decode(ctx context.Context, e *eventbus.Envelope, v any) error {
	reference, ok := e.Extensions[Reference]
	if !ok || len(e.Data) > 0 {
		return c.inner.Decode(ctx, e, v)
	}
	size, err := strconv.Atoi(e.Extensions[Size])
	if err != nil || size < 0 {
		return fmt.Errorf("the attribute %s is %.50q, not a size", Size, e.Extensions[Size])
	}
	if size > c.config.MaxBytes {
		return fmt.Errorf("the data has %d bytes, and claimcheck.Config.MaxBytes is %d", size, c.config.MaxBytes)
	}
	data, err := c.store.Get(ctx, reference, size)
	switch {
	case errors.Is(err, ErrMissing):
		return fmt.Errorf("%w: %.200q", ErrMissing, reference)
	case err != nil:
		return eventbus.Unavailable(fmt.Errorf("fetching %d bytes from the store: %w", size, err))
	case len(data) != size || digestText(sha256.Sum256(data)) != e.Extensions[Digest]:
		return fmt.Errorf("the data at %.200q is not what was published: it was altered", reference)
	}
	whole := *e
	whole.Data = data
	err = c.inner.Decode(ctx, &whole, v)
	e.Shredded = whole.Shredded
	return err
}

// digestText returns a digest in the form of the attribute.
func digestText(digest [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(digest[:]) }
