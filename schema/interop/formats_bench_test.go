//go:build unix

package interop

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/ordersvt"
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

// formatCase is a codec with the order in its Go type.
type formatCase struct {
	name  string
	codec eventbus.Codec
	v     any
	into  func() any
	e     eventbus.Envelope
	buf   []byte
}

func formats() []*formatCase {
	at := time.UnixMicro(1700000000123456).UTC()
	plain := order{"0192d3a5-6a7b-7c8d", money{"EUR", 129950}, []line{{"sku-1001", 2}, {"sku-1002", 1}, {"sku-1003", 7}}, at, map[string]string{"channel": "web"}}
	message := &orders.OrderPlaced{
		OrderId: plain.OrderID, Total: &orders.Money{Currency: "EUR", Cents: 129950}, PlacedAt: timestamppb.New(at), Labels: plain.Labels,
		Lines: []*orders.OrderPlaced_Line{{Sku: "sku-1001", Count: 2}, {Sku: "sku-1002", Count: 1}, {Sku: "sku-1003", Count: 7}},
	}
	vt := &ordersvt.OrderPlaced{
		OrderId: plain.OrderID, Total: &ordersvt.Money{Currency: "EUR", Cents: 129950}, PlacedAt: timestamppb.New(at), Labels: plain.Labels,
		Lines: []*ordersvt.OrderPlaced_Line{{Sku: "sku-1001", Count: 2}, {Sku: "sku-1002", Count: 1}, {Sku: "sku-1003", Count: 7}},
	}
	return []*formatCase{
		{name: "json", codec: eventbus.JSON(), v: &plain, into: func() any { return new(order) }},
		{name: "avro", codec: avro.Codec[order](nil, registry.None, orderAvro), v: &plain, into: func() any { return new(order) }},
		{name: "protobuf", codec: protobuf.Codec[*orders.OrderPlaced](nil, registry.None), v: message, into: func() any { return new(orders.OrderPlaced) }},
		{name: "vtprotobuf", codec: protobuf.Codec[*ordersvt.OrderPlaced](nil, registry.None), v: vt, into: func() any { return new(ordersvt.OrderPlaced) }},
	}
}

// run encodes and decodes the order once.
func (c *formatCase) run(b *testing.B) {
	data, err := c.codec.Encode(b.Context(), c.buf[:0], &c.e, c.v)
	if err == nil {
		c.buf, c.e.Data = data, data
		err = c.codec.Decode(b.Context(), &c.e, c.into())
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFormats encodes and decodes one order by each codec.
func BenchmarkFormats(b *testing.B) {
	for _, c := range formats() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run(b)
			}
			b.ReportMetric(float64(len(c.e.Data)), "bytes")
		})
	}
}

// BenchmarkFormatRatios compares the codecs by the CPU time of the process, garbage
// collection included, in rounds of 20,000 events in a shuffled order: the ratios to
// JSON are taken within a round, so that other load on the machine affects all codecs
// alike. Run it with -benchtime 31x.
func BenchmarkFormatRatios(b *testing.B) {
	const events = 20_000
	all := formats()
	ratios := make(map[string][]float64)
	rounds := 0
	for b.Loop() {
		spent := make(map[string]float64)
		for _, i := range rand.Perm(len(all)) {
			c := all[i]
			runtime.GC()
			before := cpuTime(b)
			for range events {
				c.run(b)
			}
			spent[c.name] = float64(cpuTime(b) - before)
		}
		if rounds++; rounds == 1 {
			continue // caches and pools fill
		}
		for name, t := range spent {
			ratios[name] = append(ratios[name], t/spent["json"])
		}
	}
	for _, c := range all[1:] {
		r := ratios[c.name]
		if len(r) < 6 {
			continue // too few rounds for a 95 % interval
		}
		slices.Sort(r)
		low, high := interval(len(r))
		b.ReportMetric(r[len(r)/2], c.name+"/json")
		b.ReportMetric(r[low], c.name+"/json-low")
		b.ReportMetric(r[high], c.name+"/json-high")
	}
}

// interval returns the indexes of the order statistics that enclose the median of n
// rounds with 95 % confidence, by the binomial distribution.
func interval(n int) (low, high int) {
	p, below := math.Pow(0.5, float64(n)), 0.0
	for k := range n / 2 {
		if below += p; below > 0.025 {
			return max(k-1, 0), n - 1 - max(k-1, 0)
		}
		p *= float64(n-k) / float64(k+1)
	}
	return 0, n - 1
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
