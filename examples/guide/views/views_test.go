package views_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/examples/guide/views"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestDesk(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	bus := cluster.Start(t)
	kafkatest.Publish(t, cluster, views.PriceTopic, views.Price{SKU: "a", Cents: 499})
	desk, err := views.NewDesk(t.Context(), bus)
	if err != nil {
		t.Fatal(err)
	}
	if cents, err := desk.Quote(t.Context(), "a"); cents != 499 || err != nil {
		t.Error(cents, err)
	}
	if err := desk.Change(t.Context(), views.Price{SKU: "a", Cents: 449}); err != nil {
		t.Fatal(err)
	}
	if cents, err := desk.Quote(t.Context(), "a"); cents != 449 || err != nil {
		t.Error(cents, err)
	}
	if _, err := desk.Quote(t.Context(), "b"); err == nil {
		t.Error("a price of nothing")
	}
	if err := desk.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
