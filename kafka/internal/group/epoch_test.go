package group

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// TestCloseWhileJoining: a member does not stay in the group if it is closed while
// its first heartbeat is in flight, or after that was not answered.
func TestCloseWhileJoining(t *testing.T) {
	for _, answered := range []bool{true, false} {
		t.Run("answered "+strconv.FormatBool(answered), func(t *testing.T) {
			bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
				membershipOf(b).ConsumerProtocol = true
				joining, left, handle := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
				b.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					switch req.(*kmsg.ConsumerGroupHeartbeatRequest).MemberEpoch {
					case joinEpoch:
						select {
						case <-joining:
						default:
							close(joining)
						}
						b.SleepControl(func() { <-handle })
					case leaveEpoch:
						select {
						case left <- struct{}{}:
						default:
						}
					}
					return nil, nil, false
				})
				r := startReader(b, newLedger())
				<-joining
				if !answered {
					for _, addr := range b.ListenAddrs() {
						b.Wires.SetDown(addr, true)
					}
					for r.Status().LastError == nil {
						time.Sleep(10 * time.Millisecond) // nothing signals; the clock is the bubble's
					}
				}
				closed := make(chan error)
				go func() { closed <- r.Close(context.Background()) }()
				<-r.closing
				if !answered {
					for _, addr := range b.ListenAddrs() {
						b.Wires.SetDown(addr, false)
					}
				}
				select {
				case <-left: // before the heartbeat was handled
				case <-time.After(time.Second):
				}
				close(handle)
				if err := <-closed; err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // far less than a session
				defer cancel()
				time.Sleep(time.Second) // the heartbeat is handled by then; the clock is the bubble's
				if _, err := b.WaitGroupInfo(ctx, "group", func(g *kfake.GroupInfo) bool { return len(g.Members) == 0 }); err != nil {
					t.Errorf("the group has %+v: %v", b.GroupInfo("group"), err)
				}
			})
		})
	}
}

// TestSessionOfTheGroup: with KIP-848 the brokers set the session timeout, whatever
// the member's configuration says. A member that may not ask for it assumes the
// brokers' default, or its own configuration if that is shorter.
func TestSessionOfTheGroup(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(b *bed.Bed)
		want   time.Duration
	}{
		"configured": {func(b *bed.Bed) {
			set := kmsg.NewPtrIncrementalAlterConfigsRequest()
			resource := kmsg.NewIncrementalAlterConfigsRequestResource()
			resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "group"
			config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			value := "50000"
			config.Name, config.Value = sessionConfig, &value
			resource.Configs = append(resource.Configs, config)
			set.Resources = append(set.Resources, resource)
			resp, err := bedclient.Of(b).Request(b.T.Context(), -1, cluster.Rare(set, (*kmsg.IncrementalAlterConfigsRequest).AppendTo, (*kmsg.IncrementalAlterConfigsResponse).ReadFrom))
			if err != nil || resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode != 0 {
				b.T.Fatalf("%v, %+v", err, resp)
			}
		}, 50 * time.Second},
		"refused": {func(b *bed.Bed) {
			b.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
				resource := kmsg.NewDescribeConfigsResponseResource()
				resource.ErrorCode = franzerr.GroupAuthorizationFailed.Code
				resp.Resources = append(resp.Resources, resource)
				return resp, nil, true
			})
		}, 45 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
				membershipOf(b).ConsumerProtocol = true
				c.answer(b)
				r := startReader(b, newLedger(), func(cfg *transport.ConsumerConfig) { cfg.SessionTimeout = 90 * time.Second })
				r.awaitOwned(2)
				acknowledged := time.Now()
				b.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					return nil, errors.New("the test cuts the connection"), true
				})
				time.Sleep(c.want - 4*time.Second) // the last acknowledged heartbeat is up to an interval old
				if !r.Alive() {
					t.Errorf("not alive after %s", time.Since(acknowledged))
				}
				time.Sleep(5 * time.Second)
				if r.Alive() {
					t.Errorf("alive after %s", time.Since(acknowledged))
				}
			})
		})
	}
}
