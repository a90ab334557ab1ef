package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// perform carries out the schedule. It returns when all actions are done, and undone if
// they have to be. Errors of single actions are in t.failures.
func (t *stage) perform(ctx context.Context, actions []action) error {
	began := time.Now()
	// Times are counted from the start, so a late action does not delay the later
	// ones.
	for _, a := range actions {
		timer := time.NewTimer(time.Until(began.Add(a.at)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if a.losesBroker() || a.verb == restartBroker || a.verb == moveBroker {
			// On a busy host the previous broker may take long to come back. A topic with
			// three replicas, two in sync, can't survive two missing brokers.
			t.work.Wait()
		}
		if a.verb == upgradeMember || a.verb == downgradeMember || a.verb == startPublisher {
			// One by one, however long each takes.
			t.work.Wait()
		}
		if a.verb == moveGroup || a.verb == moveLeaders {
			// On a busy host an election may take longer than the time to the next one,
			// and two at once would choose the same leaders.
			t.work.Wait()
		}
		if a.verb != toggle {
			t.say("%s", a)
		}
		t.begin(ctx, a)
	}
	t.work.Wait()
	return ctx.Err()
}

// begin carries out an action, and undoes it in time. An action that takes long
// does not delay the schedule.
func (t *stage) begin(ctx context.Context, a action) {
	from := time.Now()
	if a.verb == toggle {
		t.toggle(a.target)
		return
	}
	t.work.Go(func() {
		if a.verb == moveBroker {
			// It stops first: meanwhile others take its partitions over.
			t.work.Go(func() { t.awaitFencing(ctx, a, from) })
		}
		if err := t.do(ctx, a); err != nil {
			t.fail(fmt.Errorf("%s: %w", a, err))
		}
		if a.losesBroker() {
			t.work.Go(func() { t.awaitFencing(ctx, a, from) })
		}
		if a.lasts > 0 {
			timer := time.NewTimer(a.lasts)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			// Undo it in any case: a frozen process could not end.
			if err := t.undo(context.WithoutCancel(ctx), a); err != nil {
				t.fail(fmt.Errorf("the end of %s: %w", a, err))
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		now := time.Now().UnixNano()
		// Every action except a toggle counts as a fault, even one that is not undone.
		t.heals = append(t.heals, now)
		if t.faultFrom == 0 {
			t.faultFrom = from.UnixNano()
		}
		t.faultTo = max(t.faultTo, now)
	})
}

// toggle lets a bus that is a member leave, or another join. The last two
// members stay.
func (t *stage) toggle(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	joined := 0
	for _, s := range t.slots {
		if s.joined {
			joined++
		}
	}
	switch {
	case !t.slots[i].joined:
		// Record it before the command is sent: the window must include the whole join.
		t.joins = append(t.joins, time.Now().UnixNano())
		t.failures = append(t.failures, t.join(i))
	case joined > 2:
		t.leave(i)
	}
}

// do carries out an action.
func (t *stage) do(ctx context.Context, a action) error {
	switch a.verb {
	case killMember:
		return t.endMember(a.target, syscall.SIGKILL)
	case stopMember:
		return t.endMember(a.target, syscall.SIGTERM)
	case upgradeMember, downgradeMember:
		return t.changeVersion(ctx, a.target, a.verb == upgradeMember)
	case freezeMember:
		t.mu.Lock()
		defer t.mu.Unlock()
		// Record the end first: what the process does until the signal may be repeated.
		t.noteEnd(a.target)
		t.members[a.target].Signal(syscall.SIGSTOP)
	case startPublisher:
		t.mu.Lock()
		defer t.mu.Unlock()
		l := &t.scenario.load
		return t.startPublisher(a.target, l.Events/l.Processes)
	case killPublisher:
		t.publishers[a.target].Signal(syscall.SIGKILL)
	case stopPublisher:
		t.publishers[a.target].Signal(syscall.SIGTERM)
	case freezePublish:
		t.publishers[a.target].Signal(syscall.SIGSTOP)
	case killBroker:
		return t.script(ctx, "kill", a.target)
	case freezeBroker:
		return t.script(ctx, "pause", a.target)
	case fillDisk:
		return t.script(ctx, "fill", a.target)
	case moveBroker:
		return errors.Join(t.cluster.Move(ctx, a.target), t.healthy(ctx))
	case replaceBroker:
		return errors.Join(t.cluster.Replace(ctx, a.target), t.healthy(ctx))
	case restartBroker:
		return errors.Join(t.script(ctx, "restart", a.target), t.healthy(ctx))
	case moveGroup:
		return t.moveLeaders(ctx, cluster.GroupsTopic)
	case moveLeaders:
		return t.moveLeaders(ctx, t.topic.topic())
	case refuseLetters:
		// Require more replicas in sync than there are, so that no write is acknowledged.
		return t.cluster.Set(ctx, t.topic.letters(), "min.insync.replicas", strconv.Itoa(cluster.Brokers+1))
	case loseDependency:
		t.sendMembers("down")
	case slowNetwork:
		for _, p := range t.proxies {
			p.Delay.Store(int64(50 * time.Millisecond))
			p.Rate.Store(1 << 20)
		}
	case resetNetwork:
		for _, p := range t.proxies {
			p.Reset()
		}
	case cutNetwork:
		t.proxies[a.target-1].Silent.Store(true)
	default:
		return errors.New("nobody knows how")
	}
	return nil
}

// undo undoes an action.
// Actions that are not named here leave nothing behind.
func (t *stage) undo(ctx context.Context, a action) error {
	switch a.verb {
	case killMember, stopMember:
		return t.startMember(a.target)
	case freezeMember:
		t.members[a.target].Signal(syscall.SIGCONT)
	case killPublisher, stopPublisher:
		t.mu.Lock()
		defer t.mu.Unlock()
		// Enough to go on for the rest of the scenario.
		return t.startPublisher(a.target, t.scenario.load.Events/t.scenario.load.Processes/3)
	case freezePublish:
		t.publishers[a.target].Signal(syscall.SIGCONT)
	case killBroker, fillDisk:
		return errors.Join(t.script(ctx, "restart", a.target), t.healthy(ctx))
	case replaceBroker:
		return errors.Join(t.cluster.Reinstate(ctx, a.target), t.healthy(ctx))
	case freezeBroker:
		return errors.Join(t.script(ctx, "resume", a.target), t.healthy(ctx))
	case refuseLetters:
		return t.cluster.Set(ctx, t.topic.letters(), "min.insync.replicas", "2")
	case loseDependency:
		t.sendMembers("up")
	case slowNetwork:
		for _, p := range t.proxies {
			p.Heal()
		}
	case cutNetwork:
		t.proxies[a.target-1].Heal()
	}
	return nil
}

// sendMembers sends a command to every member process.
func (t *stage) sendMembers(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.members {
		m.Send("%s", what)
	}
}

// moveLeaders gives the partitions of a topic other leaders. The cluster may
// refuse some, and on a busy host all: that is reported, and not a failure.
func (t *stage) moveLeaders(ctx context.Context, topic string) error {
	moved, refused, err := t.cluster.MoveLeaders(ctx, topic)
	if len(refused) > 0 {
		t.say("%d partitions have another leader; the cluster refused %v", moved, refused)
	}
	return err
}

// script runs a command of kafka.sh on a broker.
func (t *stage) script(ctx context.Context, verb string, broker int) error {
	_, err := t.cluster.Run(ctx, verb, strconv.Itoa(broker))
	return err
}

// healthy waits until all replicas of the topic are in sync.
func (t *stage) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.cluster.Healthy(ctx, t.topic.topic(), cluster.GroupsTopic)
}

// noteEnd records that what a process did last may be repeated. The caller
// holds mu.
func (t *stage) noteEnd(member int) {
	// Only the buses of that process end with it.
	for i, s := range t.slots {
		if i < t.scenario.crew.Buses && i%len(t.members) == member && s.joined {
			t.ends[s.incarnation] = time.Now().UnixNano()
		}
	}
}

// endMember ends a member process with a signal.
// It waits until the process is gone.
func (t *stage) endMember(member int, s syscall.Signal) error {
	t.mu.Lock()
	p := t.members[member]
	p.Signal(s)
	// A process that stops by itself commits first, and repeats nothing.
	if s == syscall.SIGKILL {
		t.noteEnd(member)
	}
	t.mu.Unlock()
	return p.Wait(2 * closePatience)
}

// startMember starts a member process again, and lets all its buses join.
func (t *stage) startMember(member int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.spawn("member", t.memberTask(member))
	if err != nil {
		return err
	}
	t.members[member] = p
	// Every start is a new incarnation of each bus.
	for i := range t.slots {
		if i < t.scenario.crew.Buses && i%len(t.members) == member {
			if err := t.join(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// published waits until every publisher has ended.
func (t *stage) published(ctx context.Context) error {
	// The list may grow during the wait.
	for _, p := range slices.Clone(t.publishers) {
		select {
		case <-p.Ended():
		case <-ctx.Done():
			return fmt.Errorf("publishing did not end: %w", ctx.Err())
		}
	}
	return nil
}

// drainPatience bounds how long a group may take to handle what is left after
// the last fault.
const drainPatience = 2 * time.Minute

// drained waits until the group has committed everything that is in the log.
func (t *stage) drained(ctx context.Context) error {
	var left int64
	for {
		// Publishing has ended, so the ends don't change; only the commits do.
		ends, err := t.cluster.Ends(ctx, t.topic.topic(), t.topic.Partitions)
		if err == nil {
			var offsets []int64
			if offsets, err = t.cluster.Committed(ctx, t.topic.group(), t.topic.topic(), t.topic.Partitions); err == nil {
				left = 0
				for p := range ends {
					left += max(ends[p]-offsets[p], 0)
				}
				if left == 0 {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d events are not committed: %w", left, errors.Join(err, ctx.Err()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
