package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// subscription, parked and held are the bodies of orders.
type (
	subscription struct {
		Subscription string `json:"subscription"`
	}
	parked struct {
		place
		Key       *string `json:"key"`
		KeyBase64 []byte  `json:"keyBase64"`
	}
	held struct {
		place
		Offset *int64 `json:"offset"`
	}
	place struct {
		Topic     string `json:"topic"`
		Partition *int32 `json:"partition"`
	}
)

// errBody says that a body is not what it should be.
var errBody = errors.New("malformed body")

func (p place) check() error {
	if p.Topic == "" || p.Partition == nil {
		return fmt.Errorf("%w: topic and partition are needed", errBody)
	}
	return nil
}

func (h *handler) groups(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.bus.Operator().Inspect())
}

func (h *handler) catalog(w http.ResponseWriter, _ *http.Request) {
	document, err := catalog.OfBus(h.bus)
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, http.StatusOK, document)
}

func (h *handler) unpark(group string, of parked) error {
	if err := of.check(); err != nil {
		return err
	}
	key := of.KeyBase64
	if of.Key != nil {
		if key != nil {
			return fmt.Errorf("%w: key and keyBase64 are both there: keep one of them", errBody)
		}
		key = []byte(*of.Key)
	}
	if key == nil {
		return fmt.Errorf("%w: key or keyBase64 is needed", errBody)
	}
	return h.bus.Operator().Unpark(group, of.Topic, *of.Partition, key)
}

func (h *handler) skip(group string, of held) error {
	if err := of.check(); err != nil {
		return err
	}
	if of.Offset == nil {
		return fmt.Errorf("%w: offset is needed", errBody)
	}
	return h.bus.Operator().Skip(group, of.Topic, *of.Partition, *of.Offset)
}

// order carries out what a request with a body asks for.
func order[B any](do func(group string, body B) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body B
		err := read(r.Body, &body)
		if err == nil {
			err = do(r.PathValue("group"), body)
		}
		var large *http.MaxBytesError
		switch {
		case err == nil:
			answer(w, http.StatusOK, struct{}{})
		case errors.As(err, &large):
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", large.Limit))
		case errors.Is(err, errBody):
			refuse(w, http.StatusBadRequest, err.Error())
		case errors.Is(err, eventbus.ErrNotFound):
			refuse(w, http.StatusNotFound, err.Error())
		default:
			refuse(w, http.StatusConflict, err.Error())
		}
	}
}

// read takes one JSON object, whose fields must all be known.
func read(from io.Reader, into any) error {
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the object", errBody)
	}
	return nil
}
