package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/gofrs/uuid/v5"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

func TestOrderIsAbout300Bytes(t *testing.T) {
	source := event.NewSource(10000)
	for _, number := range []int{0, 1, 499_999} {
		order := source.At(number)
		order.Sent = time.Now().UnixNano()
		data, err := json.Marshal(order)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 280 || len(data) > 330 {
			t.Errorf("order %d has %d bytes: %s", number, len(data), data)
		}
		var back event.Order
		if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, order) {
			t.Errorf("order %d came back as %+v, %v", number, back, err)
		}
	}
}

func TestSourceSpreadsCustomersWithoutAllocating(t *testing.T) {
	source := event.NewSource(100)
	seen := make(map[string]bool)
	for number := range 1000 {
		seen[source.At(number).Customer] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d customers in 1,000 orders, want all 100", len(seen))
	}
	number := 0
	if n := testing.AllocsPerRun(100, func() { number += len(source.At(number).Customer) }); n != 0 {
		t.Errorf("an order costs %v allocations", n)
	}
}

func TestAttributes(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		id, now := event.Attributes()
		parsed, err := uuid.FromString(string(id))
		if err != nil || parsed.Version() != 7 || parsed.Variant() != uuid.VariantRFC9562 || seen[string(id)] {
			t.Fatalf("id %s: %v, seen: %t", id, err, seen[string(id)])
		}
		seen[string(id)] = true
		at, err := time.Parse(time.RFC3339Nano, string(now))
		if err != nil || time.Since(at) > time.Hour || at.Location() != time.UTC {
			t.Fatalf("time %s: %v", now, err)
		}
	}
}
