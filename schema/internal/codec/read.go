package codec

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// mostReaders bounds the compiled readers of a codec. A topic has few schemas, but
// events may have arbitrary ids.
const mostReaders = 200

// readers are the decoders of a codec, by the id of the writer's schema.
type readers struct {
	own  Decoder
	most int
	last atomic.Pointer[reader]
	mu   sync.RWMutex
	byID map[registry.ID]*reader
}

// reader is the decoder of one schema. It never changes.
type reader struct {
	id     registry.ID
	decode Decoder
}

// reader returns the decoder of data that names the schema id, or the codec's own for
// data that names none.
func (c *codec) reader(ctx context.Context, id registry.ID) (Decoder, error) {
	if id == (registry.ID{}) || c.registry == nil {
		return c.readers.own, nil
	}
	if r := c.readers.last.Load(); r != nil && r.id == id {
		return r.decode, nil
	}
	r := c.readers.get(id)
	if r == nil {
		s, err := c.registry.Schema(ctx, id)
		if err != nil {
			return nil, err
		}
		// The id may be that of a schema in another language, if the topic changed its
		// codec or the id is wrong.
		if own := c.format.Definition().Type; s.Type != own {
			return nil, fmt.Errorf("schema id %s is of type %s, not %s", id, s.Type, own)
		}
		decode, err := c.format.Reader(s, c.load(ctx))
		if err != nil {
			return nil, fmt.Errorf("schema id %s: %w", id, err)
		}
		r = &reader{id, decode}
		c.readers.put(r)
	}
	c.readers.last.Store(r)
	return r.decode, nil
}

// get returns nil for a new id. Two goroutines may compile the same schema at the same
// time; one result is kept.
func (r *readers) get(id registry.ID) *reader {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// put keeps a reader. If there are too many, it drops others at random.
func (r *readers) put(one *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = make(map[registry.ID]*reader)
	}
	for id := range r.byID {
		if len(r.byID) < r.most {
			break
		}
		delete(r.byID, id)
	}
	r.byID[one.id] = one
}
