package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/cmd/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// examineSecurity looks at how connections are secured.
func examineSecurity(found *findings, c *kafka.Config) {
	secure := c.TLS != nil || c.TLSFiles != kafka.TLSFiles{}
	switch {
	case secure:
		found.add("TLS", fine, "", "connections are encrypted")
	case loopback(c.Brokers):
		found.add("TLS", fine, "", "not used, and all brokers are on this machine")
	default:
		found.add("TLS", worry, "configure EventBus__Tls__CaFile, or run in a network that you trust", "not used: what is published can be read on the way")
	}
	switch mechanism := c.SASL.Mechanism; {
	case mechanism == "":
		found.add("SASL", fine, "", "not used")
	case mechanism == "PLAIN" && !secure:
		found.add("SASL", worry, "use TLS as well, or SCRAM-SHA-512", "PLAIN without TLS: the password can be read on the way")
	default:
		found.add("SASL", fine, "", "%s as %s", mechanism, c.SASL.Username)
	}
}

func loopback(addresses []string) bool {
	for _, address := range addresses {
		host, _, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// examineRights looks at what the cluster allows.
func examineRights(ctx context.Context, found *findings, t *kafka.Transport) {
	rights, err := t.ClusterRights(ctx)
	switch {
	case err != nil || !rights.Known:
		found.add("ACLs", unknown, "", "the brokers do not tell what this client may do with the cluster")
	case !rights.Allow(kafka.OperationCreate):
		found.add("ACLs", fine, "", "topics can't be created with these credentials: provision them with others")
	default:
		found.add("ACLs", fine, "", "topics can be created")
	}
}

// examineTopics looks at declared topics, and returns those that are there.
func (a *app) examineTopics(ctx context.Context, found *findings, t *kafka.Transport, source string) ([]transport.TopicInfo, error) {
	states, err := a.compare(ctx, source)
	if err != nil {
		return nil, err
	}
	var there []transport.TopicInfo
	var names []string
	for _, s := range states {
		switch s.State {
		case "missing":
			found.add(s.Topic, bad, "create it: eventbus topics provision", "the topic does not exist, or may not be described")
			continue
		case "differs":
			var what []string
			for _, d := range s.Differences {
				what = append(what, fmt.Sprintf("%s is %s, declared %s", d.What, d.Actual, d.Declared))
			}
			found.add(s.Topic, worry, "change the topic, or its declaration", "%s", strings.Join(what, "; "))
		default:
			found.add(s.Topic, fine, "", "is as it is declared")
		}
		there, names = append(there, *s.info), append(names, s.Topic)
	}
	examineReplicas(ctx, found, t, there, names)
	rights, err := t.TopicRights(ctx, names...)
	if err != nil {
		found.add("topics' ACLs", unknown, "", "%v", err)
		return there, nil
	}
	for _, topic := range names {
		if r := rights[topic]; r.Known {
			for operation, name := range map[kafka.Operation]string{kafka.OperationRead: "Read", kafka.OperationWrite: "Write"} {
				if !r.Allow(operation) {
					found.add(topic, worry, "a service that needs it gets TOPIC_AUTHORIZATION_FAILED: allow "+name+" on the topic", "%s is not allowed with these credentials", name)
				}
			}
		}
	}
	return there, nil
}

func examineReplicas(ctx context.Context, found *findings, t *kafka.Transport, infos []transport.TopicInfo, names []string) {
	if len(infos) == 0 {
		return
	}
	for i := range infos {
		switch info := &infos[i]; {
		case info.Replication == 1:
			found.add(info.Name, worry, "use replication 3 where events must survive the loss of a broker", "has a single replica")
		case info.Configs["min.insync.replicas"] == "1":
			found.add(info.Name, worry, "set min.insync.replicas=2, with three replicas", "acknowledges writes with a single replica in sync")
		}
	}
	replicas, err := t.Replicas(ctx, names...)
	if err != nil {
		found.add("topics", unknown, "", "%v", err)
		return
	}
	for _, r := range replicas {
		switch {
		case r.Leader < 0:
			found.add(r.Partition.String(), bad, "start the brokers that hold it", "has no leader: it can be neither read nor written")
		case len(r.InSync) < len(r.All):
			found.add(r.Partition.String(), worry, "see why these brokers lag or are down", "%d of %d replicas are in sync", len(r.InSync), len(r.All))
		}
	}
}

// examineGroup looks at a group.
func (a *app) examineGroup(ctx context.Context, found *findings, t *kafka.Transport, name string) {
	check := "group " + name
	if rights, err := t.GroupRights(ctx, name); errors.Is(err, transport.ErrUnauthorized) || rights.Known && !rights.Allow(kafka.OperationRead) {
		found.add(check, bad, "allow Read on the group", "may not be joined with these credentials")
		return
	}
	g, err := t.Group(ctx, name)
	switch {
	case errors.Is(err, kafka.ErrGroupMissing):
		found.add(check, worry, "start a service of the group, or check its name: {service}-{env} unless Group says otherwise", "does not exist")
		return
	case err != nil:
		found.add(check, bad, "", "%v", err)
		return
	}
	partitions, err := groupsPartitions(ctx, t, name, owners(&g))
	if err != nil {
		found.add(check, bad, "", "%v", err)
		return
	}
	lag, idle := int64(0), 0
	for _, p := range partitions {
		lag += p.Lag
		if p.Problem != "" {
			found.add(check, worry, "members drop it and go on from the commit: some events may be repeated", "%s/%d: %s", p.Topic, p.Partition, p.Problem)
		}
		if p.Member == "" && p.Lag > 0 {
			idle++
		}
	}
	switch {
	case len(g.Members) == 0 && lag > 0:
		found.add(check, bad, "start its service", "has no members, and %s left to handle", counted(lag, "event"))
	case idle > 0:
		found.add(check, worry, "see eventbus groups describe "+name, "events wait in %s without a member (%s)", counted(idle, "partition"), g.State)
	case len(g.Members) > 0 && g.State != "Stable":
		found.add(check, worry, "look again in a minute: a group that does not come to rest has members that come and go, or one that hangs", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	default:
		found.add(check, fine, "", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	}
}

func owners(g *kafka.Group) map[transport.Partition]string {
	all := make(map[transport.Partition]string)
	for _, m := range g.Members {
		for _, p := range m.Assigned {
			all[p] = m.ID
		}
	}
	return all
}

// ahead is how far a record may be ahead of this machine's clock.
const ahead = time.Second

// examineClocks compares the clock here with the times of the newest records.
// Brokers don't tell the time, so this is all there is: a record from the future
// shows that the clock of its producer, or of the broker if that stamps records,
// differs; one from the past shows nothing.
func examineClocks(ctx context.Context, found *findings, t *kafka.Transport, infos []transport.TopicInfo, now func() time.Time) {
	const remedy = "let all machines keep time by NTP: retention, lag in time and start positions by time go by records' times"
	if len(infos) == 0 {
		found.add("clocks", unknown, "", "no topics were named with --catalog, whose newest records could tell")
		return
	}
	var partitions []transport.Partition
	for i := range infos {
		partitions = append(partitions, partitionsOf(&infos[i])...)
	}
	first, end, err := edges(ctx, t, partitions...)
	if err != nil {
		found.add("clocks", unknown, "", "%v", err)
		return
	}
	from := make(map[transport.Partition]int64, len(partitions))
	for _, p := range partitions {
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
		found.add("clocks", unknown, "", "%v", err)
	case newest.IsZero():
		found.add("clocks", unknown, "", "the topics hold no record whose time could tell")
	case skew > ahead:
		found.add("clocks", worry, remedy, "%s is %s ahead of this machine's clock", where, skew.Round(time.Millisecond))
	default:
		found.add("clocks", unknown, "", "no record is ahead of this machine's clock: that it is behind would not show")
	}
}
