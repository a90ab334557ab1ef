package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/chaos/internal/child"
	"github.com/eventbus-go/eventbus/chaos/internal/cluster"
)

// stage is the environment of one scenario: its topic, its processes, and what was done
// to them and when. Times are nanoseconds of the host's clock, which all processes
// share.
type stage struct {
	scenario scenario
	seed     uint64
	quick    bool
	// root is the directory of the repository.
	root    string
	cluster *cluster.Cluster
	// dir holds the ledger and the logs of processes.
	dir string
	// out is what people read.
	out io.Writer
	// topic is the contract that all processes get.
	topic contract
	// routes maps the address of a broker to that of its proxy.
	routes map[string]string
	// proxies are in the order of the brokers; empty without proxied.
	proxies []*cluster.Proxy

	// bootstrap are the addresses that clients are configured with.
	bootstrap []string
	// earlier is the programs of the earlier version, in a scenario that has it.
	earlier *earlier

	// mu guards the fields below.
	mu sync.Mutex
	// upgraded has the member processes that run the newer of two versions, in a
	// scenario that has two.
	upgraded map[int]bool
	// members and publishers are the running processes by number; all has those
	// that have ended too.
	members    []*child.Process
	publishers []*child.Process
	// lives counts the starts of each publisher.
	lives []int
	// slots are the places in the group, ours first and then another client's.
	slots []slot
	all   []*child.Process
	// last is the last assigned incarnation: every join gets a new one, by which the
	// ledger distinguishes owners.
	last uint16
	// ends is when each incarnation was killed or frozen: what it did last may
	// be repeated.
	ends map[uint16]int64
	// heals are the ends of faults, joins the joins of the schedule.
	heals []int64
	joins []int64
	// faultFrom and faultTo are the beginning of the first fault and the end of
	// the last.
	faultFrom int64
	faultTo   int64
	// fencing is the longest time that the cluster took to depose a broker that
	// was lost.
	fencing time.Duration
	// busy reports whether the host was busy, so that bounds on times are longer.
	busy bool
	// failures are errors of actions; they make the scenario fail.
	failures []error
	// work waits for actions in the background.
	work sync.WaitGroup
}

// slot is the place of a bus, or of another client's member, which is a process
// of its own.
type slot struct {
	// incarnation is the one that joined last.
	incarnation uint16
	// joined is false after a leave was asked for.
	joined bool
	// foreign is nil for a bus of ours.
	foreign *child.Process
}

// newStage prepares a scenario: it creates the topics and starts the proxies.
func newStage(ctx context.Context, root string, c *cluster.Cluster, s scenario, dir string, seed uint64, quick bool, out io.Writer) (*stage, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	t := &stage{
		scenario: s, seed: seed, quick: quick, root: root, cluster: c, bootstrap: c.Addresses(), dir: dir, out: out, ends: make(map[uint16]int64), upgraded: make(map[int]bool),
		topic: contract{Name: "load-" + strconv.FormatInt(time.Now().UnixMilli(), 36), Partitions: s.parts, Replication: cluster.Brokers},
	}
	if b := s.bootstrap; b > 0 {
		t.bootstrap = t.bootstrap[b-1 : b]
	}
	if s.earlier {
		var err error
		if t.earlier, err = buildEarlier(ctx, root); err != nil {
			return nil, err
		}
	}
	// A scenario that runs itself needs no topic and no processes.
	if s.run != nil {
		return t, nil
	}
	if err := t.create(ctx); err != nil {
		return nil, err
	}
	if s.proxied {
		t.routes = make(map[string]string)
		for _, address := range c.Addresses() {
			p, err := cluster.NewProxy(address)
			if err != nil {
				return nil, err
			}
			t.proxies = append(t.proxies, p)
			t.routes[address] = p.Address()
		}
	}
	return t, nil
}

// create creates the topics, and makes the brokers create the one that stores groups, so
// that measurements begin with an idle cluster. The dead-letter topics are included, so
// that no fault affects their creation.
func (t *stage) create(ctx context.Context) error {
	for _, name := range t.topic.all() {
		partitions := t.topic.Partitions
		if name != t.topic.topic() {
			partitions = letterPartitions
		}
		if err := t.cluster.Create(ctx, name, partitions, cluster.Brokers); err != nil {
			return err
		}
	}
	for {
		_, err := t.cluster.Coordinator(ctx, t.topic.group())
		if err == nil {
			return t.cluster.Healthy(ctx, cluster.GroupsTopic)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// clear deletes the topics: they would cost the brokers time and memory in the
// scenarios to come.
func (t *stage) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if t.scenario.run == nil {
		t.cluster.Remove(ctx, t.topic.all()...)
	}
}

// ledger returns the path of the ledger.
func (t *stage) ledger() string { return filepath.Join(t.dir, "ledger") }

// say prints what happens, for people.
func (t *stage) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, "  "+format+"\n", args...)
}

// fail records an error that makes the scenario fail, unless it is nil.
func (t *stage) fail(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, err)
}

// task returns the part of a task that is the same for all children.
func (t *stage) task(role string) *task {
	return &task{
		Role: role, Brokers: t.bootstrap, Routes: t.routes, Topic: t.topic, Ledger: t.ledger(),
		Crew: t.scenario.crew, Load: t.scenario.load, Sampling: sampling(t.scenario.soak),
	}
}

// memberTask returns the task of a member process. The caller holds mu.
func (t *stage) memberTask(member int) *task {
	task := t.task(roleMember)
	task.earlier = t.scenario.earlier && !t.upgraded[member]
	if t.scenario.types {
		task.Crew.Dependent = t.upgraded[member]
	}
	return task
}

// spawn starts a child. Its number is its place in all. The caller holds mu.
func (t *stage) spawn(name string, task *task) (*child.Process, error) {
	task.Number = uint16(len(t.all)) //nolint:gosec // small
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if task.earlier {
		program = t.earlier.chaos
	}
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	p, err := child.Spawn(t.dir, fmt.Sprintf("%s-%d", name, task.Number), program, taskVariable+"="+string(text))
	if err != nil {
		return nil, err
	}
	t.all = append(t.all, p)
	return p, nil
}

// open starts the consumers, waits until the group is stable, and starts the publishers.
func (t *stage) open(ctx context.Context) error {
	if err := t.openGroup(); err != nil {
		return err
	}
	// Publishing begins with a stable group, so that the first stall is due to a fault.
	if err := t.cluster.Stable(ctx, t.topic.group(), t.topic.topic(), t.topic.Partitions, len(t.slots)-t.scenario.spare); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &t.scenario.load
	t.publishers, t.lives = make([]*child.Process, l.Processes), make([]int, l.Processes)
	for i := range l.Processes - l.Late {
		if err := t.startPublisher(i, l.Events/l.Processes); err != nil {
			return err
		}
	}
	if l.Intruded == 0 {
		return nil
	}
	// It counts as a publisher, so that the scenario waits for it.
	task := t.task(roleIntruder)
	task.Shift = shift{Index: l.Processes, Events: l.Events / l.Intruded, Seed: t.seed}
	p, err := t.spawn("intruder", task)
	t.publishers = append(t.publishers, p)
	return err
}

// openGroup starts the member processes and lets the buses join, except for the
// spare ones.
func (t *stage) openGroup() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.scenario
	for i := range s.crew.Processes {
		t.upgraded[i] = s.current
	}
	t.slots = make([]slot, s.crew.Buses+s.foreign)
	for i := range s.crew.Processes {
		p, err := t.spawn("member", t.memberTask(i))
		if err != nil {
			return err
		}
		t.members = append(t.members, p)
	}
	for i := range t.slots {
		if i >= s.crew.Buses-s.spare && i < s.crew.Buses {
			continue
		}
		if err := t.join(i); err != nil {
			return err
		}
	}
	return nil
}

// host returns the process that runs the bus of a slot.
// The caller holds mu.
func (t *stage) host(i int) *child.Process { return t.members[i%len(t.members)] }

// join lets a slot join as a new incarnation. The caller holds mu.
func (t *stage) join(i int) error {
	// Never 0: that is not an owner.
	t.last++
	s := &t.slots[i]
	s.joined, s.incarnation = true, t.last
	if i < t.scenario.crew.Buses {
		t.host(i).Send("join %d %d", i, t.last)
		return nil
	}
	task := t.task(roleForeign)
	task.Shift.Index = int(t.last)
	p, err := t.spawn("foreign", task)
	s.foreign = p
	return err
}

// leave lets a slot leave. The caller holds mu.
func (t *stage) leave(i int) {
	s := &t.slots[i]
	s.joined = false
	if s.foreign != nil {
		s.foreign.Send("quit")
		return
	}
	t.host(i).Send("leave %d", i)
}

// startPublisher starts publisher i for a number of events. The caller holds
// mu.
func (t *stage) startPublisher(i, events int) error {
	task := t.task(rolePublisher)
	task.earlier = t.scenario.earlier && i%2 == 0
	// Publishers from before don't know a new type.
	task.Load.Alternating = t.scenario.alternates(uint32(i)) //nolint:gosec // small
	task.Shift = shift{Index: i, Life: t.lives[i], Events: events, Seed: t.seed}
	t.lives[i]++
	p, err := t.spawn("publisher", task)
	t.publishers[i] = p
	return err
}

// close ends every process, whatever its state, and returns what went wrong in
// any.
func (t *stage) close() error {
	t.work.Wait()
	t.mu.Lock()
	all := t.all
	t.mu.Unlock()
	// undo has resumed frozen processes, so all can end.
	for _, p := range all {
		p.Send("quit")
		p.CloseInput()
	}
	// No action runs any more, so nothing is appended to either list.
	errs := t.failures
	for _, p := range all {
		errs = append(errs, p.Wait(2*closePatience))
	}
	for _, p := range t.proxies {
		p.Close()
	}
	return errors.Join(errs...)
}

// rss returns the most memory that any one process had, in megabytes.
// Processes that have ended count too.
func (t *stage) rss() (most float64) {
	for _, p := range t.all {
		most = max(most, p.RSS())
	}
	return most
}
