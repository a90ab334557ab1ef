package console

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// order is an order for one member: a key waits only at the member that has its partition.
// Unpark and skip go by Offset, and Key, nil for an event without one, is only shown and given to
// members of earlier versions. Pause and resume use only Subscription.
type order struct {
	Do           string // unpark, skip, pause or resume
	Member       string
	Group        string
	Topic        string
	Partition    int32
	Offset       int64
	Key          []byte
	Subscription string
	Who, Why     string
}

// maxWhy bounds a reason, in bytes, since it goes into a line of the log.
const maxWhy = 500

// memberOrders returns the orders to members. The names are those of the forms, and the last
// elements of the admin handler's paths.
func (d *desk) memberOrders() map[string]act {
	all := make(map[string]act)
	for _, do := range []string{"unpark", "skip", "pause", "resume"} {
		all[do] = func(ctx context.Context, who string, form url.Values) (string, error) {
			o, err := readOrder(do, form)
			if err != nil {
				return "", wrong(err.Error())
			}
			// A refusal by the member is not an error here: it is shown on the page that the order
			// came from.
			return d.carryOut(ctx, who, o), nil
		}
	}
	return all
}

// readOrder reads a form. It requires the fields without which the order would mean
// something else.
func readOrder(do string, f url.Values) (*order, error) {
	o := &order{Do: do, Member: f.Get("member"), Group: f.Get("group"), Topic: f.Get("topic"), Subscription: f.Get("subscription")}
	// A skip loses an event. The others can be undone, or only happen earlier than by
	// themselves.
	why, err := reason(f, do == "skip")
	if err != nil {
		return nil, err
	}
	o.Why = why
	if o.Group == "" || o.Member == "" {
		return nil, fmt.Errorf("group and member are needed")
	}
	if do == "pause" || do == "resume" {
		if o.Subscription == "" {
			return nil, fmt.Errorf("subscription is needed")
		}
		return o, nil
	}
	partition, err := strconv.ParseInt(f.Get("partition"), 10, 32)
	if err != nil || o.Topic == "" {
		return nil, fmt.Errorf("topic and partition are needed")
	}
	o.Partition = int32(partition)
	o.Offset, err = strconv.ParseInt(f.Get("offset"), 10, 64)
	if _, has := f["key"]; has && err == nil {
		o.Key, err = base64.RawURLEncoding.DecodeString(f.Get("key"))
	}
	if err != nil {
		return nil, fmt.Errorf("the offset or the key can't be read")
	}
	return o, nil
}

// reason reads the reason of an order. Orders that can't be undone require one.
func reason(f url.Values, required bool) (string, error) {
	why := strings.TrimSpace(f.Get("why"))
	switch {
	case required && why == "":
		return "", fmt.Errorf("this can't be taken back: give a reason, which goes to the log")
	case len(why) > maxWhy || !utf8.ValidString(why):
		return "", fmt.Errorf("a reason is text of at most %d bytes", maxWhy)
	}
	return why, nil
}

// carryOut gives an order to its member and returns the result in words, in which texts
// from outside are clipped and made visible. The log shows who gave the order and why, but
// no keys.
func (d *desk) carryOut(ctx context.Context, who string, o *order) string {
	// The member's own log has the user as well.
	o.Who = who
	m, err := d.watch.named(o.Member)
	if err == nil {
		err = m.order(ctx, o)
	}
	fields := []any{
		"order", o.Do, "who", who, "why", clip(maxWhy, o.Why), "member", clip(maxShown, o.Member), "group", clip(maxShown, o.Group), "topic", clip(maxShown, o.Topic),
		"partition", o.Partition, "offset", o.Offset, "subscription", clip(maxShown, o.Subscription),
	}
	if _, lost := errors.AsType[*unansweredError](err); lost {
		d.config.Logger.Warn("console: an order was not answered, and may have been carried out", append(fields, "error", clip(maxShown, err.Error()))...)
		m.ask(ctx)
		return "Not answered, and perhaps carried out: look before you order it again. " + clip(4*maxShown, err.Error())
	}
	if err != nil {
		level, quiet := d.refused.Next(slog.LevelWarn)
		d.config.Logger.Log(ctx, level, "console: an order was refused", append(fields, "error", clip(maxShown, err.Error()), quiet)...)
		return "Refused: " + clip(4*maxShown, err.Error())
	}
	// Orders are rare and matter afterwards, and most services keep warnings.
	d.config.Logger.Warn("console: an order was carried out", fields...)
	// Asked before the answer, so that the next page shows the new state.
	m.ask(ctx)
	switch o.Do {
	case "unpark":
		return "Key " + keyText(o.Key) + " is tried again now."
	case "skip":
		return fmt.Sprintf("Offset %d is passed over.", o.Offset)
	case "pause":
		return clip(maxShown, o.Subscription) + " is paused at " + o.Member + "."
	}
	return clip(maxShown, o.Subscription) + " goes on at " + o.Member + "."
}

// sayings keeps results of orders until the next page shows them. Addresses contain only the
// name of a saying: otherwise any link could put its own words on a page.
// The zero value is ready to use. It is safe for concurrent use.
type sayings struct {
	mu   sync.Mutex
	text map[string]string
}

// maxSayings bounds the results whose pages are never loaded.
const maxSayings = 100

// keep stores text and returns the name under which take finds it. Names can't be guessed,
// so one user can't take the result of another's order.
func (s *sayings) keep(text string) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || len(s.text) >= maxSayings {
		// All are dropped at once: a page without its saying still shows what has changed.
		s.text = make(map[string]string)
	}
	s.text[id] = text
	return id
}

// take returns a saying and drops it. It returns "" for an unknown name.
func (s *sayings) take(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text[id]
	delete(s.text, id)
	return text
}
