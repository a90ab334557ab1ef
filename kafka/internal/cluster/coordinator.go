package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// coordinators remembers the coordinator of each group. The zero value is ready to use, and
// safe for concurrent use.
type coordinators struct {
	// mu guards groups. It is not held while waiting for a broker, so two callers may ask at the
	// same time, and both get an answer.
	mu sync.Mutex
	// groups has the coordinator's broker id by group; nil until the first one.
	groups map[string]int32
}

// Coordinator returns the broker that coordinates a group. It is remembered until
// ForgetCoordinator, which a caller must call if it gets NOT_COORDINATOR or loses the
// connection.
func (c *Client) Coordinator(ctx context.Context, group string) (int32, error) {
	c.coordinators.mu.Lock()
	broker, ok := c.coordinators.groups[group]
	c.coordinators.mu.Unlock()
	if ok {
		return broker, nil
	}
	broker, err := c.FindCoordinator(ctx, coordinatorOfGroup, group)
	if err != nil {
		return -1, fmt.Errorf("coordinator of group %q: %w", group, err)
	}
	c.coordinators.mu.Lock()
	defer c.coordinators.mu.Unlock()
	if c.coordinators.groups == nil {
		c.coordinators.groups = make(map[string]int32)
	}
	c.coordinators.groups[group] = broker
	return broker, nil
}

// ForgetCoordinator makes the next call of Coordinator ask the cluster.
func (c *Client) ForgetCoordinator(group string) {
	c.coordinators.mu.Lock()
	defer c.coordinators.mu.Unlock()
	delete(c.coordinators.groups, group)
}

// AtCoordinator calls do with the broker that coordinates a group. If do fails, the next call
// asks the cluster again.
func (c *Client) AtCoordinator(ctx context.Context, group string, do func(broker int32) error) error {
	broker, err := c.Coordinator(ctx, group)
	if err != nil {
		return err
	}
	if err = do(broker); err != nil {
		c.ForgetCoordinator(group)
	}
	return err
}

// AskGroup sends req to a group's coordinator, and repeats it while the error is retriable.
// read returns the error in the answer.
func (c *Client) AskGroup(ctx context.Context, group string, req kmsg.Request, read func(kmsg.Response) error) error {
	return c.Persist(ctx, func() error {
		return c.AtCoordinator(ctx, group, func(broker int32) error {
			answer, err := c.Request(ctx, broker, req)
			if err != nil {
				return err
			}
			return read(answer)
		})
	})
}

// CoordinatorPatience is how long a member waits for an answer before it begins to check
// whether its group has another coordinator. A frozen one never answers, and a request such as
// JoinGroup may legitimately take minutes.
const CoordinatorPatience = 2 * time.Second

// WatchCoordinator calls deposed, to end a wait for a group's coordinator, once another broker
// has taken over. It returns when ctx ends.
func (c *Client) WatchCoordinator(ctx context.Context, group string, broker int32, deposed context.CancelCauseFunc) {
	for ctx.Err() == nil {
		if now, err := c.FindCoordinator(ctx, coordinatorOfGroup, group); err == nil && now != broker {
			deposed(fmt.Errorf("broker %d coordinates group %q now: %w", now, group, kerr.NotCoordinator))
			return
		}
		Pause(ctx, 2*LookAgainAfter)
	}
}

// RetryCoordinator returns how long to wait after a number of failures. While a coordinator is
// out of reach the pace stays steady, since another takes its place at any time.
func RetryCoordinator(err error, failures int) time.Duration {
	wait := Backoff(failures)
	if kerr.Retriable(err) {
		wait = min(wait, LookAgainAfter)
	}
	return wait
}

// Kinds of coordinators in FindCoordinator.
const (
	coordinatorOfGroup       = 0
	CoordinatorOfTransaction = 1
)

// FindCoordinator asks for the coordinator of a group or of a transactional id.
func (c *Client) FindCoordinator(ctx context.Context, kind int8, key string) (int32, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType = kind
	req.CoordinatorKey = key            // up to version 3
	req.CoordinatorKeys = []string{key} // from version 4 on
	resp, err := c.AnyBroker(ctx, req)
	if err != nil {
		return -1, err
	}
	found := resp.(*kmsg.FindCoordinatorResponse)
	if found.Version < 4 {
		return found.NodeID, kerr.CodeError(found.ErrorCode)
	}
	if len(found.Coordinators) != 1 {
		return -1, fmt.Errorf("%d coordinators in the answer, 1 expected", len(found.Coordinators))
	}
	return found.Coordinators[0].NodeID, kerr.CodeError(found.Coordinators[0].ErrorCode)
}
