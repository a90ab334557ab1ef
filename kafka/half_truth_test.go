package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// halfTruth is a connection to a server whose answers are true but for one place now and
// then.
type halfTruth struct {
	net.Conn
	lies func(key int16, answer kmsg.Response) // changes an answer, or not

	mu      sync.Mutex
	written []byte     // of a request that is not complete
	asked   [][2]int16 // key and version of the requests without an answer
	answer  []byte     // what Read has not returned yet
}

// Write notes the requests.
func (h *halfTruth) Write(b []byte) (int, error) {
	h.mu.Lock()
	h.written = append(h.written, b...)
	for len(h.written) >= 8 {
		size := 4 + int(binary.BigEndian.Uint32(h.written))
		if len(h.written) < size {
			break
		}
		h.asked = append(h.asked, [2]int16{int16(binary.BigEndian.Uint16(h.written[4:])), int16(binary.BigEndian.Uint16(h.written[6:]))})
		h.written = h.written[size:]
	}
	h.mu.Unlock()
	return h.Conn.Write(b)
}

// Read reads whole answers.
func (h *halfTruth) Read(b []byte) (int, error) {
	for len(h.answer) == 0 {
		frame := make([]byte, 4)
		if err := readAll(h.Conn, frame); err != nil {
			return 0, err
		}
		frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
		if err := readAll(h.Conn, frame[4:]); err != nil {
			return 0, err
		}
		h.answer = h.changed(frame)
	}
	n := copy(b, h.answer)
	h.answer = h.answer[n:]
	return n, nil
}

func readAll(c net.Conn, b []byte) error {
	for len(b) > 0 {
		n, err := c.Read(b)
		if b = b[n:]; len(b) > 0 && err != nil {
			return err
		}
	}
	return nil
}

// changed returns an answer with what lies makes of it.
func (h *halfTruth) changed(frame []byte) []byte {
	h.mu.Lock()
	asked := h.asked[0]
	h.asked = h.asked[1:]
	h.mu.Unlock()
	answer := kmsg.ResponseForKey(asked[0])
	if answer == nil {
		return frame
	}
	answer.SetVersion(asked[1])
	head := 8
	if answer.IsFlexible() && asked[0] != int16(kmsg.ApiVersions) {
		head++ // without tagged fields
	}
	if len(frame) < head || answer.ReadFrom(frame[head:]) != nil {
		return frame
	}
	h.lies(asked[0], answer)
	told := answer.AppendTo(append([]byte(nil), frame[:head]...))
	binary.BigEndian.PutUint32(told, uint32(len(told)-4))
	return told
}

// twist changes one place of an answer, in a way that its type allows.
func twist(r *rand.Rand, answer kmsg.Response) {
	var places []func()
	collect(r, reflect.ValueOf(answer).Elem(), "", &places)
	if len(places) > 0 {
		places[r.IntN(len(places))]()
	}
}

// collect gathers what may be changed, in v and all that it holds.
func collect(r *rand.Rand, v reflect.Value, name string, places *[]func()) {
	add := func(change func()) { *places = append(*places, change) }
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			add(func() { v.SetZero() })
			collect(r, v.Elem(), name, places)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			switch f := v.Type().Field(i); {
			case !f.IsExported(), f.Name == "Version", f.Name == "UnknownTags":
			case f.Name == "LeaderEpoch": // the highest is believed for good (KIP-320)
			default:
				collect(r, v.Field(i), f.Name, places)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			add(func() { v.SetBytes(v.Bytes()[:r.IntN(v.Len())]) })
			add(func() {
				b := append([]byte(nil), v.Bytes()...)
				b[r.IntN(min(len(b), 70))] ^= 1 << r.IntN(8)
				v.SetBytes(b)
			})
			return
		}
		at := r.IntN(v.Len())
		add(func() { v.SetZero() })
		add(func() { v.Set(reflect.AppendSlice(v.Slice3(0, at, at), v.Slice(at+1, v.Len()))) }) // left out
		add(func() { v.Set(reflect.Append(v.Slice3(0, v.Len(), v.Len()), v.Index(at))) })       // twice
		for i := range v.Len() {
			collect(r, v.Index(i), name, places)
		}
	case reflect.String:
		add(func() { v.SetString([]string{"", "events", "other", "\xff", "Dead"}[r.IntN(5)]) })
	case reflect.Bool:
		add(func() { v.SetBool(!v.Bool()) })
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		highest := int64(math.MaxInt64 >> (64 - v.Type().Bits()))
		values := []int64{0, 1, -1, v.Int() + 1, v.Int() - 1, -highest - 1, highest}
		if len(name) >= 9 && name[len(name)-9:] == "ErrorCode" {
			values = []int64{3, 6, 7, 10, 14, 15, 16, 22, 25, 27, 45, 46, 47, 59, 79, 82, 87, 90, 100, 110, 113, 120, -1, 9999}
		}
		add(func() { v.SetInt(values[r.IntN(len(values))]) })
	case reflect.Array:
		add(func() { v.Index(r.IntN(v.Len())).SetUint(r.Uint64N(256)) })
	}
}

// TestHalfTruths: whatever single thing a server's answers get wrong, calls end in their
// time, nothing panics, and once they are right publishing and consuming go on.
func TestHalfTruths(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("EVENTBUS_TEST_SEEDS"))
	for seed := range uint64(max(seeds, halfTruths)) {
		for _, protocol := range []bool{false, true} {
			t.Run(fmt.Sprint(seed, "/", protocol), func(t *testing.T) {
				bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) { halfTruthsIn(t, b, seed, protocol) }, bed.ThreeBrokers()...)
			})
		}
	}
}

// halfTruths is how many servers TestHalfTruths meets by each protocol.
const halfTruths = 4

func halfTruthsIn(t *testing.T, b *bed.Bed, seed uint64, protocol bool) {
	var honest atomic.Bool
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	lies := func(key int16, answer kmsg.Response) {
		mu.Lock()
		defer mu.Unlock()
		// What a connection's versions are is believed for as long as it lasts.
		if !honest.Load() && r.IntN(4) == 0 && key != int16(kmsg.ApiVersions) {
			twist(r, answer)
		}
	}
	tr := New(Config{Brokers: b.ListenAddrs(), ConsumerProtocol: protocol, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := b.Wires.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &halfTruth{Conn: c, lies: lies}, nil
	}})
	defer func() { _ = tr.Close(context.Background()) }()
	consumer, err := tr.NewConsumer(patientMember)
	if err != nil {
		t.Fatal(err)
	}
	got := received(t, consumer, 10*time.Second)
	p, err := tr.NewProducer(transport.ProducerConfig{DeliveryTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	publishEarly(b, p, 40, 3)
	honest.Store(true)
	time.Sleep(time.Minute)
	// A member believes what it was assigned, and is told again when the group changes.
	other, err := tr.NewConsumer(patientMember)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute) // until a commit beyond the end was found to be that
	wantLate(b, p, consumer, got, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := consumer.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}
