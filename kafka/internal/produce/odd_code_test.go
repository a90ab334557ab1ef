package produce

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// TestProduceOddCode: a broker appends a batch and then answers with an error, with any code.
// It must not take the next record for a repetition of that batch, which it would acknowledge
// without writing it. A code that does not exclude an append leaves the outcome unknown.
func TestProduceOddCode(t *testing.T) {
	for code := int16(-1); code < 140; code++ {
		if code == 0 {
			continue
		}
		t.Run(fmt.Sprint(kerr.Error(code)), func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				p := startProducer(b, transport.ProducerConfig{})
				appended := kmsg.NewPtrProduceRequest()
				b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
					appended.SetVersion(req.GetVersion())
					if err := appended.ReadFrom(req.AppendTo(nil)); err != nil {
						t.Error(err)
					}
					return answerProduce(req, code), nil, true
				})
				err := b.Wait(b.Publish(p, 0, "first"))
				if err != nil && appendedMaybe(kerr.Error(code)) && !errors.Is(err, transport.ErrOutcomeUnknown) {
					t.Errorf("the outcome is %v", err)
				}
				request := cluster.Rare(appended, (*kmsg.ProduceRequest).AppendTo, (*kmsg.ProduceResponse).ReadFrom)
				if _, err := bedclient.Of(b).Request(t.Context(), b.LeaderFor("events", 0), request); err != nil {
					t.Fatal(err)
				}
				b.Delivered(b.Publish(p, 0, "second"))
				if log := b.Log(0); slices.Index(log, "second") != len(log)-1 {
					t.Errorf("the log holds %q", log)
				}
			})
		})
	}
}
