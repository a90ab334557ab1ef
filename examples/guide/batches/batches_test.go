package batches_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/guide/batches"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
)

var errDuplicate = errors.New("duplicate address")

// table refuses customers without an address.
type table struct {
	mu   sync.Mutex
	rows map[string]bool
}

func (s *table) Insert(_ context.Context, customers []sales.CustomerCreated) (map[int]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := map[int]error{}
	for i, c := range customers {
		if c.Email == "" {
			refused[i] = errDuplicate
			continue
		}
		s.rows[c.CustomerID] = true
	}
	return refused, nil
}

var (
	ada    = sales.CustomerCreated{CustomerID: "c-1", Email: "ada@example.com"}
	nobody = sales.CustomerCreated{CustomerID: "c-2"}
	grace  = sales.CustomerCreated{CustomerID: "c-3", Email: "grace@example.com"}
)

func TestOneRefusedRowDoesNotFailTheBatch(t *testing.T) {
	for _, subscription := range []func(batches.Store) eventbus.Subscription{batches.Subscription, batches.Patient} {
		synctest.Test(t, func(t *testing.T) {
			cluster, store := kafkatest.NewMemory(t), &table{rows: map[string]bool{}}
			cluster.Start(t, subscription(store))
			kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada, nobody, grace)
			cluster.Settle(t)
			kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic, nobody)
			if !store.rows["c-1"] || !store.rows["c-3"] || len(store.rows) != 2 {
				t.Errorf("stored: %v", store.rows)
			}
		})
	}
}

func TestImportReturnsWhatFailed(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	bus := cluster.Start(t)
	kafkatest.FailPublishes(cluster, sales.CustomerCreatedTopic, func(e sales.CustomerCreated) error {
		if e.Email == "" {
			return errDuplicate
		}
		return nil
	})
	customers, want := []sales.CustomerCreated{ada}, []sales.CustomerCreated(nil)
	for i := range 20 {
		want = append(want, sales.CustomerCreated{CustomerID: nobody.CustomerID, Name: fmt.Sprint(i)})
		customers = append(customers, grace, want[i])
	}
	left, err := batches.Import(t.Context(), eventbus.NewPublisher(bus, sales.CustomerCreatedTopic), customers)
	if !errors.Is(err, errDuplicate) || !slices.Equal(left, want) {
		t.Errorf("left %v, %v", left, err)
	}
}

// sizes notes how many customers come at once, and when.
type sizes struct {
	mu sync.Mutex
	n  []int
	at []time.Time
}

func (s *sizes) Insert(_ context.Context, customers []sales.CustomerCreated) (map[int]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.at = append(s.n, len(customers)), append(s.at, time.Now())
	return nil, nil
}

func TestPatientBatchesAreFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, store := kafkatest.NewMemory(t), new(sizes)
		cluster.Start(t, batches.Patient(store))
		begun := time.Now()
		for _, id := range []string{"a", "a", "a"} {
			kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, sales.CustomerCreated{CustomerID: id, Name: "Ada"})
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		store.mu.Lock()
		defer store.mu.Unlock()
		if len(store.n) != 1 || store.n[0] != 3 || store.at[0].Sub(begun) < 2*time.Second {
			t.Errorf("batches of %d, after %v", store.n, store.at)
		}
	})
}
