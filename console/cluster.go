package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/internal/visible"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// cluster is what Kafka itself knows: groups, dead letters, records.
// It is safe for concurrent use. mu guards what follows it, and is not held while the
// cluster is asked: pages show the latest overview meanwhile.
type cluster struct {
	transport *kafka.Transport
	admin     *kafka.Admin
	letters   *redrive.Client
	segment   string // of the environment, with a dot; empty for all
	// catalogs returns those that are known now.
	catalogs func() []*catalog.Document

	mu      sync.Mutex
	latest  *overview
	taken   time.Time
	running chan struct{} // closed when the overview that is being made is there
}

// Bounds of an overview. It is made in the background, while somebody looks.
// Nobody asks the cluster where nobody looks: an idle console costs the brokers nothing
// here. The bounds keep one overview within its time on a cluster of thousands of groups.
const (
	overviewEvery = 5 * time.Second
	overviewTime  = 15 * time.Second
	overviewWait  = 2 * time.Second // of the first page for the first overview
	maxAsked      = 200             // groups, and dead-letter topics
	maxSampled    = 200             // partitions whose oldest event is read, for the lag in time
	sampleTime    = 3 * time.Second
)

// newCluster returns a cluster that has not been asked yet.
func newCluster(config *Config, catalogs func() []*catalog.Document) *cluster {
	c := &cluster{transport: config.Cluster, admin: kafka.NewAdmin(config.Cluster), catalogs: catalogs}
	if config.Environment != "" {
		// Topics are named {environment}.…, so their first segment says whose they are. The dot
		// belongs to it: without it, prod would take the topics of production.
		if segment, err := naming.Environment(config.Environment); err == nil { // Validate has looked
			c.segment = segment + "."
		}
	}
	// A job names who runs it: this console. Who ordered it is in the order.
	c.letters = redrive.New(config.Cluster, redrive.Config{Who: "console of " + config.Title, Create: true, Logger: config.Logger})
	return c
}

// meant reports whether a topic is one of the environment's.
func (c *cluster) meant(topic string) bool { return strings.HasPrefix(topic, c.segment) }

// chosen returns the topics of letters whose names groups of the environment chose, as
// far as the catalogues tell: their names need not begin with the environment's.
func (c *cluster) chosen() (dead, retry map[string]bool) {
	dead, retry = make(map[string]bool), make(map[string]bool)
	for _, document := range c.catalogs() {
		env := strings.TrimSuffix(c.segment, ".")
		// A name without {env} in it is that of the environment whose document has it.
		if of, err := naming.Environment(document.Environment); err == nil && env != "" && of != env {
			continue
		}
		env = cmp.Or(env, document.Environment)
		for i := range document.Topics {
			t := &document.Topics[i]
			for _, l := range t.Letters {
				if d, r, err := t.LetterTopics(env, l.Group); err == nil {
					dead[d], retry[r] = true, true
				}
			}
		}
	}
	return dead, retry
}

// letterTopic reports whether the letters of a topic may be shown: it is one of the
// environment's, by its name or by a catalogue.
func (c *cluster) letterTopic(topic string) bool {
	dead, retry := c.chosen()
	return c.meant(topic) || dead[topic] || retry[topic]
}

// retryTopics returns what reports whether letters may come back through a topic: it is
// the retry topic of a group of the environment, by its name or by a catalogue.
func (c *cluster) retryTopics() func(topic string) bool {
	_, chosen := c.chosen()
	return func(topic string) bool { return c.meant(topic) && naming.IsRetry(topic) || chosen[topic] }
}

// overview is the state of the cluster at one moment.
// It is not changed once it is made, so all pages share it.
type overview struct {
	groups  []outsideGroup // by name
	boxes   []box          // dead-letter topics, by name
	problem string         // what could not be found out
}

// outsideGroup is a group as its commits show it.
// It may have members that this console knows as well; the page on what holds the bus up
// shows those by what they say themselves, which is newer.
type outsideGroup struct {
	Name, State string
	Members     int
	Lag         int64
	Behind      time.Duration // 0 if unknown
	Parked      int
}

// box is a dead-letter topic, with how many letters are in which state.
type box struct {
	Topic, Source, Group                 string
	Open, Quarantined, Replayed, Skipped int64
}

// overview returns the latest state. It has a new one made if that is old.
// One is made at a time, for all who look. It does not end with the request that began it:
// others wait for it, and the next page shows it.
func (c *cluster) overview(ctx context.Context) *overview {
	c.mu.Lock()
	if c.running == nil && time.Since(c.taken) > overviewEvery {
		// running is set before the lock is released. So a second caller finds it, and does not
		// begin another.
		done := make(chan struct{})
		c.running = done
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), overviewTime)
			defer cancel()
			made := c.make(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			// The age counts from the end: a cluster that takes longer to answer than overviewEvery
			// would else be asked without a pause.
			c.latest, c.taken, c.running = made, time.Now(), nil
			close(done)
		}()
	}
	latest, running := c.latest, c.running
	c.mu.Unlock()
	// An old overview now is better than a new one after some seconds: the next page, and
	// the next round of a live one, show the new one.
	if latest != nil {
		return latest
	}
	wait := time.NewTimer(overviewWait)
	defer wait.Stop()
	// Without any overview one is being made, so running is not nil: taken is zero until the
	// first one is there, and so always too long ago.
	select {
	case <-running:
	case <-wait.C:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest == nil {
		return &overview{problem: "it has not answered yet"}
	}
	return c.latest
}

// make asks the cluster. What fails is told, and hides nothing else.
// Credentials of a console may see some groups and not others: what they can't see is a
// problem on the page, beside what they can.
func (c *cluster) make(ctx context.Context) *overview {
	o := &overview{}
	var problems []string
	fail := func(what string, err error) {
		if err != nil {
			// Errors may hold names from the cluster, so they are made visible like these.
			problems = append(problems, what+": "+clip(maxShown, err.Error()))
		}
	}
	listed, err := c.admin.Groups(ctx)
	fail("groups", err)
	for _, g := range listed[:min(len(listed), maxAsked)] {
		// These groups keep decisions about letters and handle no events: their lag would mean
		// nothing.
		if strings.HasPrefix(g.Name, redrive.Group) {
			continue
		}
		group, err := c.group(ctx, g.Name)
		fail("group "+clip(maxShown, g.Name), err)
		if group != nil {
			o.groups = append(o.groups, *group)
		}
	}
	fail("dead letters", c.count(ctx, o))
	if len(listed) > maxAsked {
		problems = append(problems, fmt.Sprintf("only %d of %d groups are shown", maxAsked, len(listed)))
	}
	// Where everything fails for one reason, three are enough to see it.
	o.problem = strings.Join(problems[:min(len(problems), 3)], "; ")
	return o
}

// group returns a group, nil for one that handles no topic of the environment.
func (c *cluster) group(ctx context.Context, name string) (*outsideGroup, error) {
	g, err := c.admin.Group(ctx, name)
	if err != nil {
		return nil, err
	}
	partitions, err := grouplag.Of(ctx, c.transport, name, grouplag.Owners(&g))
	if err != nil {
		return nil, err
	}
	group := &outsideGroup{Name: name, State: g.State, Members: len(g.Members)}
	// A group may read topics of several environments. It is shown if one of them is meant,
	// with the figures of those topics alone.
	meant := false
	oldest := make(map[transport.Partition]int64)
	for _, p := range partitions {
		if !c.meant(p.Topic) {
			continue
		}
		meant = true
		group.Lag += p.Lag
		group.Parked += p.Parked
		if p.Lag > 0 && len(oldest) < maxSampled {
			// Without a commit Committed is negative, which is not an offset to read at.
			oldest[transport.Partition{Topic: p.Topic, Partition: p.Partition}] = max(p.Committed, 0)
		}
	}
	if !meant {
		return nil, nil
	}
	if group.Lag > 0 {
		group.Behind = c.behind(ctx, oldest)
	}
	return group, nil
}

// behind returns the age of the oldest of the records at some offsets.
// Kafka knows a lag in events alone. The age of the first event that is not committed is
// that in time, by the record's time and this machine's clock.
func (c *cluster) behind(ctx context.Context, at map[transport.Partition]int64) (oldest time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	end := make(map[transport.Partition]int64, len(at))
	for p, offset := range at {
		end[p] = offset + 1
	}
	// What was read until an error counts: this is the best that is known.
	_ = scan.Each(ctx, c.transport, at, end, func(r *transport.Record) error {
		if !r.Time.IsZero() {
			oldest = max(oldest, time.Since(r.Time))
		}
		return nil
	})
	return oldest
}

// count opens the dead-letter topics and counts what was decided about their letters.
// An error of one topic does not hide the others. The first is returned.
func (c *cluster) count(ctx context.Context, o *overview) error {
	chosen, _ := c.chosen()
	topics, err := c.letters.Topics(ctx, slices.Collect(maps.Keys(chosen))...)
	if err != nil {
		return err
	}
	for _, name := range topics {
		if !c.meant(name) && !chosen[name] || len(o.boxes) == maxAsked {
			continue
		}
		b, e := c.letters.Open(ctx, name)
		if e != nil {
			// A topic may have been deleted since they were listed, which is no reason to stop.
			err = cmp.Or(err, e)
			continue
		}
		o.boxes = append(o.boxes, newBox(b))
	}
	return err
}

// newBox counts what a box knows without reading letters. For replayed and skipped ones
// that is since the topic was created.
func newBox(b *redrive.Box) box {
	return box{
		Topic: b.Topic, Open: b.Count(redrive.Open), Quarantined: b.Count(redrive.Quarantined),
		Replayed: b.Count(redrive.Replayed), Skipped: b.Count(redrive.Skipped),
	}
}

// concerns says what the commits of a group show.
// Only what commits can show: not why a partition stands still, which members know.
func (g *outsideGroup) concerns() []concern {
	// A group without members and without lag is one whose service is stopped on purpose, or
	// done.
	if g.Members == 0 && g.Lag > 0 {
		return []concern{{Level: levelBad, since: g.Behind, Text: fmt.Sprintf("group %s has no members, and %s wait%s", visible.Text(g.Name), plural(g.Lag, "event"), forOldest(g.Behind)), Link: "doctor", Going: "doctor"}}
	}
	if g.Behind >= behindAfter {
		return []concern{{Level: levelLook, since: g.Behind, Text: fmt.Sprintf("group %s is %s behind: %s", visible.Text(g.Name), span(g.Behind), plural(g.Lag, "event")), Link: "doctor", Going: "doctor"}}
	}
	return nil
}

func forOldest(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return ", the oldest for " + span(d)
}

// letterConcerns says where dead letters wait for a decision.
func (o *overview) letterConcerns() (all []concern) {
	for _, b := range o.boxes {
		if b.Open > 0 {
			all = append(all, concern{Level: levelLook, Text: fmt.Sprintf("%s in %s %s for a decision", plural(b.Open, "dead letter"), visible.Text(b.Topic), wait(b.Open)), Link: "letters?" + url.Values{"topic": {b.Topic}}.Encode(), Going: "by cause"})
		}
	}
	return all
}
