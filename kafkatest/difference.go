package kafkatest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
)

// shown is the form of an event that is compared and printed: its encoding, which has
// no monotonic clock readings.
type shown struct {
	// key is the prefix of the printed line, empty for an event without a key.
	key string
	// data is the encoded event, made readable if it is not text.
	data string
}

// compare fails the test if the events differ, key by key: there is no order between
// keys.
func compare[T any](t testing.TB, what string, topic *eventbus.Topic[T], got, want []T) {
	t.Helper()
	keys, gotOf, wantOf := byKey(t, topic, got, want)
	var report strings.Builder
	for _, key := range keys {
		g, w := gotOf[key], wantOf[key]
		if key == "" {
			// No key, no order.
			slices.Sort(g)
			slices.Sort(w)
		}
		if slices.Equal(g, w) {
			continue
		}
		fmt.Fprintf(&report, "\n%s%d wanted, %d %s:%s", key, len(w), len(g), what, difference(g, w))
	}
	if report.Len() > 0 {
		t.Errorf("kafkatest: %s on %s, events of type %s (-: wanted and not there, +: there and not wanted)%s",
			what, strings.TrimPrefix(topic.In("x"), "x."), topic.Type(), report.String())
	}
}

// byKey groups both sides by key. keys lists those of want first, then the others of
// got, each in order.
func byKey[T any](t testing.TB, topic *eventbus.Topic[T], got, want []T) (keys []string, gotOf, wantOf map[string][]string) {
	t.Helper()
	gotOf, wantOf = make(map[string][]string), make(map[string][]string)
	add := func(to map[string][]string, events []T) {
		for _, event := range events {
			s := show(t, topic, event)
			if gotOf[s.key] == nil && wantOf[s.key] == nil {
				// The key is new to both sides.
				keys = append(keys, s.key)
			}
			to[s.key] = append(to[s.key], s.data)
		}
	}
	add(wantOf, want)
	add(gotOf, got)
	return keys, gotOf, wantOf
}

// show returns an event's shown form. An event that can't be encoded fails the
// test.
func show[T any](t testing.TB, topic *eventbus.Topic[T], event T) (s shown) {
	t.Helper()
	if key, ok := topic.KeyOf(event); ok {
		s.key = fmt.Sprintf("key %q: ", key)
	}
	data, err := encoded(topic, event)
	switch {
	case err != nil:
		t.Fatalf("kafkatest: an event to compare with: %v", err)
	case utf8.Valid(data):
		s.data = string(data)
	default:
		// The value is there to be read; the bytes decide whether events are equal.
		s.data = fmt.Sprintf("%+v [%x]", event, data)
	}
	return s
}

// encoded returns the same bytes for equal events. It bypasses a codec that wraps
// another, which may encrypt or store the data elsewhere.
func encoded[T any](topic *eventbus.Topic[T], event T) ([]byte, error) {
	if s := &topic.Declaration().Samples; s.Wrapped {
		return s.Encode(&event)
	}
	e, err := topic.Encode(event)
	if err != nil {
		return nil, err
	}
	return e.Data, nil
}

// Bounds of a difference: cells of the table that computes it, and lines of output.
const (
	maxCells = 1 << 20
	maxLines = 40
)

// difference returns a line for each missing and each extra event. It strips the
// common beginning and end, and finds the longest common subsequence of the rest.
func difference(got, want []string) string {
	// Most events are equal, and the cost of between is the product of both lengths.
	start := 0
	for start < min(len(got), len(want)) && got[start] == want[start] {
		start++
	}
	end := 0
	for end < min(len(got), len(want))-start && got[len(got)-1-end] == want[len(want)-1-end] {
		end++
	}
	var b lines
	b.alike(start)
	b.between(got[start:len(got)-end], want[start:len(want)-end])
	b.alike(end)
	return b.String()
}

// lines is the text of a difference, up to maxLines.
type lines struct {
	strings.Builder
	n int
}

// line adds a line. The first one past maxLines becomes an ellipsis, and the rest are
// dropped.
func (b *lines) line(mark, text string) {
	if b.n++; b.n <= maxLines {
		b.WriteString("\n    " + mark + " " + text)
	} else if b.n == maxLines+1 {
		b.WriteString("\n      …")
	}
}

// alike adds one line for n equal events.
func (b *lines) alike(n int) {
	if n > 0 {
		b.line(" ", fmt.Sprintf("(%d as wanted)", n))
	}
}

// between adds the missing, extra and common events, in order.
func (b *lines) between(got, want []string) {
	// The product is over the bound, so neither side is empty.
	if len(got)*len(want) > maxCells {
		b.line("-", want[0])
		b.line("+", got[0])
		b.line(" ", fmt.Sprintf("(and what follows: %d wanted, %d there)", len(want)-1, len(got)-1))
		return
	}
	// length[i][j] is the length of the longest common subsequence of want[i:] and
	// got[j:].
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	// On a tie, the missing event is shown before the one in its place.
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			b.line(" ", want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && length[i+1][j] >= length[i][j+1]:
			b.line("-", want[i])
			i++
		default:
			b.line("+", got[j])
			j++
		}
	}
}
