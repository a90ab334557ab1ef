package inbox_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus/inbox"
)

func TestMemoryForgetsTheOldest(t *testing.T) {
	remembered := inbox.Memory(2)
	ran := 0
	once := func(key string) {
		if err := remembered.Once(t.Context(), []string{key}, func(_ context.Context, fresh []int) error {
			if ran += len(fresh); len(fresh) == 0 {
				t.Errorf("it was called for %s, which is known", key)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "b", "a", "c", "b", "a"} {
		once(key)
	}
	if ran != 4 { // a b – c – a
		t.Fatalf("ran %d times, want 4", ran)
	}
}

func TestMemoryOneAtATime(t *testing.T) {
	remembered := inbox.Memory(0)
	var ran atomic.Int64
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			_ = remembered.Once(context.Background(), []string{"x", "y"}, func(_ context.Context, fresh []int) error {
				ran.Add(int64(len(fresh)))
				return nil
			})
			_ = remembered.Once(context.Background(), []string{"y", "x"}, func(_ context.Context, fresh []int) error {
				ran.Add(int64(len(fresh)))
				return nil
			})
		})
	}
	wait.Wait()
	if ran.Load() != 2 {
		t.Fatalf("ran for %d keys, want 2", ran.Load())
	}
}
