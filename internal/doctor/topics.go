package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Replicas checks whether the loss of one broker would lose events or stop writes, and
// whether a partition can't be used now. infos and names are of the same topics. The
// configuration of topics and the current state of their replicas are separate findings:
// either may be wrong alone.
func Replicas(ctx context.Context, found *Findings, t *kafka.Transport, infos []transport.TopicInfo, names []string) {
	if len(infos) == 0 {
		return
	}
	for i := range infos {
		configured(found, &infos[i])
	}
	replicas, err := kafka.NewAdmin(t).Replicas(ctx, names...)
	if err != nil {
		found.Add("topics", Unknown, "", "%v", err)
		return
	}
	for _, r := range replicas {
		switch {
		// Kafka reports leader −1 for a partition without a leader.
		case r.Leader < 0:
			found.Add(r.Partition.String(), Bad, "start the brokers that hold it", "has no leader: it can be neither read nor written")
		case len(r.InSync) < len(r.All):
			found.Add(r.Partition.String(), Warning, "see why these brokers lag or are down", "%d of %d replicas are in sync", len(r.InSync), len(r.All))
		}
	}
}

// configured checks a topic's configuration.
func configured(found *Findings, info *transport.TopicInfo) {
	// Compaction would keep only the last letter of each key, and refuse letters without a
	// key.
	letters := naming.IsDead(info.Name) || naming.IsRetry(info.Name)
	if letters && strings.Contains(info.Configs["cleanup.policy"], "compact") {
		found.Add(info.Name, Bad, "set cleanup.policy=delete", "is compacted: dead letters and redelivered events are removed before anybody has seen them")
	}
	switch {
	case info.Replication == 1:
		found.Add(info.Name, Warning, "use replication 3 where events must survive the loss of a broker", "has a single replica")
	// With acks=all a write needs this many replicas. With one, the leader may acknowledge
	// alone, and such writes are lost with it.
	case info.Configs["min.insync.replicas"] == "1":
		found.Add(info.Name, Warning, "set min.insync.replicas=2, with three replicas", "acknowledges writes with a single replica in sync")
	}
}

// GroupState checks whether a group may be joined, has members, and keeps up with its
// partitions.
func GroupState(ctx context.Context, found *Findings, t *kafka.Transport, name string) {
	check := "group " + name
	// Check the rights first: brokers describe a group that may not be read as one that does
	// not exist.
	if rights, err := kafka.NewAdmin(t).GroupRights(ctx, name); errors.Is(err, transport.ErrUnauthorized) || rights.Known && !rights.Allow(kafka.OperationRead) {
		found.Add(check, Bad, "allow Read on the group", "may not be joined with these credentials")
		return
	}
	g, err := kafka.NewAdmin(t).Group(ctx, name)
	switch {
	// A group exists from its first member on, so a group whose service was never started
	// looks the same.
	case errors.Is(err, kafka.ErrGroupMissing):
		found.Add(check, Warning, "start a service of the group, or check its name: {service}-{env} unless Group says otherwise", "does not exist")
		return
	case err != nil:
		found.Add(check, Bad, "", "%v", err)
		return
	}
	partitions, err := grouplag.Of(ctx, t, name, grouplag.Owners(&g))
	if err != nil {
		found.Add(check, Bad, "", "%v", err)
		return
	}
	lag, idle := int64(0), 0
	for _, p := range partitions {
		lag += p.Lag
		if p.Problem != "" {
			found.Add(check, Warning, "members drop it and go on from the commit: some events may be repeated", "%s/%d: %s", p.Topic, p.Partition, p.Problem)
		}
		// A partition without a member matters only if something waits in it: a group may
		// have left a topic while its commits are kept.
		if p.Member == "" && p.Lag > 0 {
			idle++
		}
	}
	switch {
	// The worst case comes first, since a group gets one verdict. It is not a fault to have
	// no members and no lag: a service may be stopped while nothing is published.
	//
	case len(g.Members) == 0 && lag > 0:
		found.Add(check, Bad, "start its service", "has no members, and %s left to handle", counted(lag, "event"))
	case idle > 0:
		found.Add(check, Warning, "see eventbus groups describe "+name, "events wait in %s without a member (%s)", counted(idle, "partition"), g.State)
	case len(g.Members) > 0 && g.State != "Stable":
		found.Add(check, Warning, "look again in a minute: a group that does not come to rest has members that come and go, or one that hangs", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	default:
		found.Add(check, Fine, "", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	}
}

// ahead is how far a record's time may be ahead of this machine's clock before
// it counts as skew: the record was written a moment ago, on a machine whose
// clock is not ours.
const ahead = time.Second

// Clocks compares this machine's clock with the times of the newest records. Brokers do not
// report their time, so there is no better check: a record from the future shows that a
// clock differs, its producer's, or the broker's if brokers stamp records. A record from the
// past shows nothing.
func Clocks(ctx context.Context, found *Findings, t *kafka.Transport, infos []transport.TopicInfo, now func() time.Time) {
	const remedy = "let all machines keep time by NTP: retention, lag in time and start positions by time go by records' times"
	if len(infos) == 0 {
		found.Add("clocks", Unknown, "", "no topic was examined, whose newest records could tell: name some by a catalogue")
		return
	}
	var partitions []transport.Partition
	for i := range infos {
		partitions = append(partitions, grouplag.Partitions(&infos[i])...)
	}
	first, end, err := grouplag.Edges(ctx, t, partitions...)
	if err != nil {
		found.Add("clocks", Unknown, "", "%v", err)
		return
	}
	from := make(map[transport.Partition]int64, len(partitions))
	for _, p := range partitions {
		// The last record of a partition is nearly always its newest.
		from[p] = max(first[p], end[p]-1)
	}
	var newest time.Time
	var where string
	err = scan.Each(ctx, t, from, end, func(r *transport.Record) error {
		if r.Time.After(newest) {
			newest, where = r.Time, fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
		}
		return nil
	})
	switch skew := newest.Sub(now()); {
	case err != nil:
		found.Add("clocks", Unknown, "", "%v", err)
	case newest.IsZero():
		found.Add("clocks", Unknown, "", "the topics hold no record whose time could tell")
	case skew > ahead:
		found.Add("clocks", Warning, remedy, "%s is %s ahead of this machine's clock", where, skew.Round(time.Millisecond))
	default:
		found.Add("clocks", Unknown, "", "no record is ahead of this machine's clock: that it is behind would not show")
	}
}
