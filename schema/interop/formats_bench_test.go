package interop

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/orders"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// The same order in all formats.
type (
	order struct {
		OrderID  string            `json:"orderId" avro:"orderId"`
		Total    money             `json:"total" avro:"total"`
		Lines    []line            `json:"lines" avro:"lines"`
		PlacedAt time.Time         `json:"placedAt" avro:"placedAt"`
		Labels   map[string]string `json:"labels" avro:"labels"`
	}
	money struct {
		Currency string `json:"currency" avro:"currency"`
		Cents    int64  `json:"cents" avro:"cents"`
	}
	line struct {
		SKU   string `json:"sku" avro:"sku"`
		Count int32  `json:"count" avro:"count"`
	}
)

const orderAvro = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"orderId","type":"string"},
	{"name":"total","type":{"type":"record","name":"Money","fields":[{"name":"currency","type":"string"},{"name":"cents","type":"long"}]}},
	{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},{"name":"count","type":"int"}]}}},
	{"name":"placedAt","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"labels","type":{"type":"map","values":"string"}}]}`

// BenchmarkFormats encodes and decodes one order by each codec.
func BenchmarkFormats(b *testing.B) {
	at := time.UnixMicro(1700000000123456).UTC()
	plain := order{"0192d3a5-6a7b-7c8d", money{"EUR", 129950}, []line{{"sku-1001", 2}, {"sku-1002", 1}, {"sku-1003", 7}}, at, map[string]string{"channel": "web"}}
	message := &orders.OrderPlaced{
		OrderId: plain.OrderID, Total: &orders.Money{Currency: "EUR", Cents: 129950}, PlacedAt: timestamppb.New(at), Labels: plain.Labels,
		Lines: []*orders.OrderPlaced_Line{{Sku: "sku-1001", Count: 2}, {Sku: "sku-1002", Count: 1}, {Sku: "sku-1003", Count: 7}},
	}
	for _, c := range []struct {
		name  string
		codec eventbus.Codec
		v     any
		into  func() any
	}{
		{"json", eventbus.JSON(), &plain, func() any { return new(order) }},
		{"avro", avro.Codec[order](nil, registry.None, orderAvro), &plain, func() any { return new(order) }},
		{"protobuf", protobuf.Codec[*orders.OrderPlaced](nil, registry.None), message, func() any { return new(orders.OrderPlaced) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var e eventbus.Envelope
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				data, err := c.codec.Encode(b.Context(), buf[:0], &e, c.v)
				if err != nil {
					b.Fatal(err)
				}
				e.Data = data
				if err := c.codec.Decode(b.Context(), &e, c.into()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(e.Data)), "bytes")
		})
	}
}
