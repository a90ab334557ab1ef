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

// cluster reads what Kafka itself knows: groups, dead letters, records.
// It is safe for concurrent use.
type cluster struct {
	transport *kafka.Transport
	admin     *kafka.Admin
	letters   *redrive.Client
	segment   string // first segment of the environment's topics, with a dot; empty for all topics
	// catalogs returns the catalogues known so far.
	catalogs func() []*catalog.Document

	latest latest[*overview]
}

// Bounds of an overview. Overviews are made in the background, and only while somebody
// looks, so that an idle console costs the brokers nothing here. The bounds let one finish
// in time on a cluster of thousands of groups.
const (
	overviewEvery = 5 * time.Second
	overviewTime  = 15 * time.Second
	overviewWait  = 2 * time.Second // how long a page waits for the first overview
	maxAsked      = 200             // groups, and also dead-letter topics
	maxSampled    = 200             // partitions whose oldest event is read, for the lag in time
	sampleTime    = 3 * time.Second
)

// latest is an answer that is asked for in the background, only while somebody looks, and once
// for all users. It is safe for concurrent use. mu guards the fields below it, and is not held
// while something is asked, so that pages can show the answer before meanwhile.
type latest[T any] struct {
	mu     sync.Mutex
	value  T
	taken  time.Time     // zero before the first answer
	asking chan struct{} // closed when the answer is there; nil while nobody asks
}

// get returns the latest answer, and asks again if that is older than overviewEvery. It waits
// for the first answer alone, for overviewWait at most, and returns the zero value without
// one. begin starts a goroutine, and reports whether it does.
func (l *latest[T]) get(ctx context.Context, begin func(func(context.Context)) bool, ask func(context.Context) T) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asking == nil && time.Since(l.taken) > overviewEvery {
		done := make(chan struct{})
		// asking is set under the lock, so that a second caller finds it and asks no more.
		if begin(func(ctx context.Context) {
			defer close(done)
			value := ask(ctx)
			l.mu.Lock()
			defer l.mu.Unlock()
			// The age counts from the end. Otherwise what takes longer than overviewEvery to
			// answer would be asked without a pause.
			l.value, l.taken, l.asking = value, time.Now(), nil
		}) {
			l.asking = done
		}
	}
	// An old answer now is better than a new one in some seconds: the next page, and the next
	// round of a live one, show the new one.
	if asking := l.asking; l.taken.IsZero() && asking != nil {
		l.mu.Unlock()
		wait := time.NewTimer(overviewWait)
		select {
		case <-asking:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		l.mu.Lock()
	}
	return l.value
}

// newCluster returns a cluster that has not been asked yet.
func newCluster(config *Config, catalogs func() []*catalog.Document) *cluster {
	c := &cluster{transport: config.Cluster, admin: kafka.NewAdmin(config.Cluster), catalogs: catalogs}
	if config.Environment != "" {
		// Topics are named {environment}.…, so their first segment names the environment. The
		// dot is part of the prefix: without it, prod would match the topics of production.
		if segment, err := naming.Environment(config.Environment); err == nil { // Validate has checked it
			c.segment = segment + "."
		}
	}
	// A job records this console as its runner. The order itself records who gave it.
	c.letters = redrive.New(config.Cluster, redrive.Config{Who: "console of " + config.Title, Create: true, Logger: config.Logger})
	return c
}

// meant reports whether the console shows a topic: it belongs to the environment.
func (c *cluster) meant(topic string) bool { return strings.HasPrefix(topic, c.segment) }

// chosen returns the dead-letter and retry topics whose names groups of the environment
// chose themselves, as far as the catalogues list them. Such names need not begin with
// the environment.
func (c *cluster) chosen() (dead, retry map[string]bool) {
	dead, retry = make(map[string]bool), make(map[string]bool)
	for _, document := range c.catalogs() {
		env := strings.TrimSuffix(c.segment, ".")
		// A name without {env} belongs to the environment of its document.
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

// letterTopic reports whether the letters of a topic may be shown: the topic belongs to
// the environment, by its name or by a catalogue.
func (c *cluster) letterTopic(topic string) bool {
	dead, retry := c.chosen()
	return c.meant(topic) || dead[topic] || retry[topic]
}

// retryTopics returns a function that reports whether letters may be redelivered through a
// topic: it is the retry topic of a group of the environment, by its name or by a catalogue.
func (c *cluster) retryTopics() func(topic string) bool {
	_, chosen := c.chosen()
	return func(topic string) bool { return c.meant(topic) && naming.IsRetry(topic) || chosen[topic] }
}

// overview is the state of the cluster at one moment. It is immutable, so pages share it.
type overview struct {
	groups  []outsideGroup // by name
	boxes   []box          // dead-letter topics, by name
	problem string         // what could not be read
}

// outsideGroup is a group as its commits show it. The console may know some of its members
// as well: the first page then shows what those report, which is newer.
type outsideGroup struct {
	Name, State string
	Members     int
	Lag         int64
	Behind      time.Duration // 0 if unknown
	Parked      int
}

// box is a dead-letter topic, with how many letters are in which state.
type box struct {
	Topic                                string
	Open, Quarantined, Replayed, Skipped int64
}

// overview returns the latest state. It is made in the background and outlives the request that
// started it: others may wait for it, and the next page shows it.
func (c *cluster) overview(ctx context.Context) *overview {
	latest := c.latest.get(ctx, func(do func(context.Context)) bool {
		go do(context.Background())
		return true
	}, func(ctx context.Context) *overview {
		ctx, cancel := context.WithTimeout(ctx, overviewTime)
		defer cancel()
		return c.make(ctx)
	})
	if latest == nil {
		return &overview{problem: "it has not answered yet"}
	}
	return latest
}

// make asks the cluster. An error becomes part of the problem and hides nothing else: a
// console's credentials may cover only some groups.
func (c *cluster) make(ctx context.Context) *overview {
	o := &overview{}
	var problems []string
	fail := func(what string, err error) {
		if err != nil {
			// Errors may hold names from the cluster, so they are clipped and made visible as well.
			problems = append(problems, what+": "+clip(maxShown, err.Error()))
		}
	}
	listed, err := c.admin.Groups(ctx)
	fail("groups", err)
	for _, g := range listed[:min(len(listed), maxAsked)] {
		// These groups store decisions about letters and handle no events, so a lag would mean
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
	// If everything fails for one reason, three errors are enough to show it.
	o.problem = strings.Join(problems[:min(len(problems), 3)], "; ")
	return o
}

// group returns a group, or nil if it handles no topic of the environment.
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
	// A group may read topics of several environments. It is shown if one of them is this
	// console's, with the figures of those topics alone.
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
			// Committed is negative without a commit, and no offset to read at.
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

// behind returns the age of the oldest record at the given offsets.
// Kafka knows only the lag in events. The age of the first uncommitted event, by the
// record's time and this machine's clock, is the lag in time.
func (c *cluster) behind(ctx context.Context, at map[transport.Partition]int64) (oldest time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	end := make(map[transport.Partition]int64, len(at))
	for p, offset := range at {
		end[p] = offset + 1
	}
	// What was read before an error still counts: nothing better is known.
	_ = scan.Each(ctx, c.transport, at, end, func(r *transport.Record) error {
		if !r.Time.IsZero() {
			oldest = max(oldest, time.Since(r.Time))
		}
		return nil
	})
	return oldest
}

// count opens the dead-letter topics and counts their letters by decision.
// An error with one topic does not hide the others; the first error is returned.
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
			// The topic may have been deleted since the list was made, which is no reason to stop.
			err = cmp.Or(err, e)
			continue
		}
		o.boxes = append(o.boxes, newBox(b))
	}
	return err
}

// newBox returns the counts that a box knows without reading letters. Those of replayed and
// skipped letters go back to the creation of the topic.
func newBox(b *redrive.Box) box {
	return box{
		Topic: b.Topic, Open: b.Count(redrive.Open), Quarantined: b.Count(redrive.Quarantined),
		Replayed: b.Count(redrive.Replayed), Skipped: b.Count(redrive.Skipped),
	}
}

// concerns describes what the commits of a group show. They don't show why a partition is
// stuck; only members know that.
func (g *outsideGroup) concerns() []concern {
	// A group with neither members nor lag has been stopped on purpose, or is done.
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
