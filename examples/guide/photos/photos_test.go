package photos_test

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/claimcheck"
	"github.com/eventbus-go/eventbus/examples/guide/photos"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestTaken(t *testing.T) {
	*photos.Claims = *claimcheck.Dir(t.TempDir())
	cluster := kafkatest.NewMemory(t)
	cluster.Start(t, eventbus.On(photos.TakenTopic, func(context.Context, photos.Taken) error { return nil }))
	large := photos.Taken{ID: "a", Pixels: make([]byte, 2<<20)}
	kafkatest.Publish(t, cluster, photos.TakenTopic, large)
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, photos.TakenTopic, large)
	if n, err := photos.Sweep(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
}
