package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// maxBody is the largest body of a request, in bytes. The largest is that of a replay: it has
// the offsets of each partition, 60 bytes at most.
const maxBody = 1 << 20

// The bodies of orders. Members whose absence must differ from zero are pointers: without
// them an order would act on something else.
type (
	subscription struct {
		said
		Subscription string `json:"subscription"`
	}
	parked struct {
		said
		place
		Key       *string `json:"key"`
		KeyBase64 []byte  `json:"keyBase64"`
		Offset    *int64  `json:"offset"`
	}
	held struct {
		said
		place
		Offset *int64 `json:"offset"`
	}
	forgotten struct {
		said
		Topic string `json:"topic"`
		Type  string `json:"type"`
	}
	place struct {
		Topic     string `json:"topic"`
		Partition *int32 `json:"partition"`
	}
	// said is who gives an order and why. Both go to the log of the service.
	said struct {
		Who string `json:"who"`
		Why string `json:"why"`
	}
)

// Bounds of the texts that go to the log, in bytes.
const (
	maxWho = 200
	maxWhy = 500
)

func (s said) check() error {
	if len(s.Who) > maxWho || len(s.Why) > maxWhy {
		return fmt.Errorf("%w: who has at most %d bytes and why %d", errBody, maxWho, maxWhy)
	}
	return nil
}

// operator returns the operator that logs orders with who gives them and why.
func (h *handler) operator(s said) eventbus.Operator { return h.bus.Operator().Because(s.Who, s.Why) }

// errBody is wrapped by errors about a body, which are answered with 400.
var errBody = errors.New("malformed body")

func (p place) checkPlace() error {
	if p.Topic == "" || p.Partition == nil {
		return fmt.Errorf("%w: topic and partition are needed", errBody)
	}
	return nil
}

// groups answers GET /groups.
func (h *handler) groups(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.bus.Operator().Inspect())
}

// unpark carries out POST /groups/{group}/unpark.
func (h *handler) unpark(group string, of parked) error {
	if of.Topic == "" {
		return fmt.Errorf("%w: topic is needed", errBody)
	}
	key := of.KeyBase64
	if of.Offset != nil {
		if of.Key != nil || key != nil || of.Partition == nil {
			return fmt.Errorf("%w: offset needs partition, and is instead of a key", errBody)
		}
		return h.operator(of.said).UnparkAt(group, of.Topic, *of.Partition, *of.Offset)
	}
	if of.Key != nil {
		if key != nil {
			return fmt.Errorf("%w: key and keyBase64 are both there: keep one of them", errBody)
		}
		key = []byte(*of.Key)
	}
	if key == nil {
		return fmt.Errorf("%w: key, keyBase64 or offset is needed", errBody)
	}
	if of.Partition != nil {
		return h.operator(of.said).Unpark(group, of.Topic, *of.Partition, key)
	}
	return h.unparkAnywhere(group, of.Topic, key, of.said)
}

// unparkAnywhere ends the wait of a key in all of this member's partitions of a topic.
// Operators know the key from an error or a complaint, and seldom the partition. A key
// waits in one partition, unless partitions were added to the topic.
func (h *handler) unparkAnywhere(group, topic string, key []byte, s said) error {
	operator := h.operator(s)
	err := fmt.Errorf("%w: this member of group %q has no partition of topic %q", eventbus.ErrNotFound, group, topic)
	found := false
	for _, g := range operator.Inspect().Groups {
		if g.Name != group {
			continue
		}
		for _, p := range g.Partitions {
			if p.Topic != topic {
				continue
			}
			switch e := operator.Unpark(group, topic, p.Partition, key); {
			case e == nil:
				found = true
			case !errors.Is(e, eventbus.ErrNotFound):
				return e
			default:
				err = e
			}
		}
	}
	if found {
		return nil
	}
	return err
}

// skip carries out POST /groups/{group}/skip.
func (h *handler) skip(group string, of held) error {
	if err := of.checkPlace(); err != nil {
		return err
	}
	if of.Offset == nil {
		return fmt.Errorf("%w: offset is needed", errBody)
	}
	// A skip loses an event. The reason has to be given now, since nobody could tell it later.
	if strings.TrimSpace(of.Why) == "" {
		return fmt.Errorf("%w: why is needed, since a skip can't be taken back", errBody)
	}
	return h.operator(of.said).Skip(group, of.Topic, *of.Partition, *of.Offset)
}

// order returns a handler that decodes the body, calls do, and maps its error to
// a status.
func order[B interface{ check() error }](do func(group string, body B) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body B
		err := read(r.Body, &body)
		if err == nil {
			err = body.check()
		}
		if err == nil {
			err = do(r.PathValue("group"), body)
		}
		if err != nil {
			refuseOrder(w, err)
			return
		}
		answer(w, http.StatusOK, struct{}{})
	}
}

// read decodes one JSON object. It refuses unknown members: an order with a misspelt
// member must not do something else than was meant.
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
