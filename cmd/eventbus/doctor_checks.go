package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/scan"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// examineSecurity examines the configuration of TLS and SASL. That they work
// was shown by the connection.
func examineSecurity(found *findings, c *kafka.Config) {
	secure := c.TLS != nil || c.TLSFiles != kafka.TLSFiles{}
	switch {
	case secure:
		found.add("TLS", fine, "", "connections are encrypted")
	case loopback(c.Brokers):
		found.add("TLS", fine, "", "not used, and all brokers are on this machine")
	default:
		found.add("TLS", warning, "configure EventBus__Tls__CaFile, or run in a network that you trust", "not used: what is published can be read on the way")
	}
	switch mechanism := c.SASL.Mechanism; {
	case mechanism == "":
		found.add("SASL", fine, "", "not used")
	case secure:
		found.add("SASL", fine, "", "%s", c.SASL)
	case mechanism == "PLAIN":
		found.add("SASL", warning, "use TLS as well, or SCRAM-SHA-512", "PLAIN without TLS: the password can be read on the way")
	case mechanism == "OAUTHBEARER":
		found.add("SASL", warning, "use TLS as well", "OAUTHBEARER without TLS: the token can be read on the way, and used until it expires")
	default:
		found.add("SASL", fine, "", "%s", c.SASL)
	}
}

// loopback reports whether all addresses are on this machine.
func loopback(addresses []string) bool {
	for _, address := range addresses {
		host, _, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// examineRights examines whether these credentials may create topics. Not to be
// allowed is fine: many clusters provision topics by other credentials.
func examineRights(ctx context.Context, found *findings, t *kafka.Transport) {
	rights, err := kafka.NewAdmin(t).ClusterRights(ctx)
	switch {
	case err != nil || !rights.Known:
		found.add("ACLs", unknown, "", "the brokers do not tell what this client may do with the cluster")
	case !rights.Allow(kafka.OperationCreate):
		found.add("ACLs", fine, "", "topics can't be created with these credentials: provision them with others")
	default:
		found.add("ACLs", fine, "", "topics can be created")
	}
}

// examineTopics compares the topics that a catalogue declares with those of the
// cluster. It returns those that exist, for further checks.
func (a *app) examineTopics(ctx context.Context, found *findings, t *kafka.Transport, e *examination) ([]transport.TopicInfo, error) {
	var groups []string
	if e.group != "" {
		groups = []string{e.group}
	}
	states, err := a.compare(ctx, e.catalog, groups)
	if err != nil {
		return nil, err
	}
	var there []transport.TopicInfo
	var names []string
	for _, s := range states {
		switch s.State {
		case "missing":
			if s.later {
				found.add(s.Topic, warning, "create it: eventbus topics provision", "the topic, which keeps what operators decide about dead letters, does not exist, or may not be described")
				continue
			}
			found.add(s.Topic, bad, "create it: eventbus topics provision", "the topic does not exist, or may not be described")
			continue
		case "differs":
			var what []string
			for _, d := range s.Differences {
				what = append(what, fmt.Sprintf("%s is %s, declared %s", d.What, d.Actual, d.Declared))
			}
			found.add(s.Topic, warning, "change the topic, or its declaration", "%s", strings.Join(what, "; "))
		default:
			found.add(s.Topic, fine, "", "is as it is declared")
		}
		there, names = append(there, *s.info), append(names, s.Topic)
	}
	examineReplicas(ctx, found, t, there, names)
	examineNeeds(ctx, found, t, states, names)
	return there, nil
}

// examineNeeds examines whether these credentials have the rights that the topics
// are used with.
func examineNeeds(ctx context.Context, found *findings, t *kafka.Transport, states []topicState, names []string) {
	topics, err := kafka.NewAdmin(t).TopicRights(ctx, names...)
	if err != nil {
		found.add("topics' ACLs", unknown, "", "%v", err)
		return
	}
	groups := make(map[string]kafka.Rights)
	operations := map[string]kafka.Operation{"Read": kafka.OperationRead, "Write": kafka.OperationWrite}
	var told []right
	for i := range states {
		for _, need := range states[i].needs {
			has := topics[need.Name]
			if need.Resource == "group" {
				var known bool
				if has, known = groups[need.Name]; !known {
					if has, err = kafka.NewAdmin(t).GroupRights(ctx, need.Name); errors.Is(err, transport.ErrUnauthorized) {
						has.Known = true // and allows nothing
					}
					groups[need.Name] = has
				}
			}
			if !has.Known || has.Allow(operations[need.Operation]) || slices.Contains(told, need) {
				continue
			}
			told = append(told, need)
			verdict, what := bad, fmt.Sprintf("%s on the %s is not allowed with these credentials, and needed for %s", need.Operation, need.Resource, need.For)
			if need.Perhaps {
				verdict, what = warning, fmt.Sprintf("%s is not allowed with these credentials: a service that is %s needs it", need.Operation, need.For)
			}
			found.add(need.Name, verdict, fmt.Sprintf("allow %s on the %s %s", need.Operation, need.Resource, need.Name), "%s", what)
		}
	}
}

// examineReplicas examines whether the loss of one broker would lose events or
// stop writes, and whether a partition can't be used now.
func examineReplicas(ctx context.Context, found *findings, t *kafka.Transport, infos []transport.TopicInfo, names []string) {
	if len(infos) == 0 {
		return
	}
	for i := range infos {
		switch info := &infos[i]; {
		case info.Replication == 1:
			found.add(info.Name, warning, "use replication 3 where events must survive the loss of a broker", "has a single replica")
		case info.Configs["min.insync.replicas"] == "1":
			found.add(info.Name, warning, "set min.insync.replicas=2, with three replicas", "acknowledges writes with a single replica in sync")
		}
	}
	replicas, err := kafka.NewAdmin(t).Replicas(ctx, names...)
	if err != nil {
		found.add("topics", unknown, "", "%v", err)
		return
	}
	for _, r := range replicas {
		switch {
		case r.Leader < 0:
			found.add(r.Partition.String(), bad, "start the brokers that hold it", "has no leader: it can be neither read nor written")
		case len(r.InSync) < len(r.All):
			found.add(r.Partition.String(), warning, "see why these brokers lag or are down", "%d of %d replicas are in sync", len(r.InSync), len(r.All))
		}
	}
}

// examineGroup examines whether a group may be joined, has members, and keeps
// up with its partitions.
func (a *app) examineGroup(ctx context.Context, found *findings, t *kafka.Transport, name string) {
	check := "group " + name
	// Brokers describe a group that may not be read as one that does not exist:
	// the rights come first.
	if rights, err := kafka.NewAdmin(t).GroupRights(ctx, name); errors.Is(err, transport.ErrUnauthorized) || rights.Known && !rights.Allow(kafka.OperationRead) {
		found.add(check, bad, "allow Read on the group", "may not be joined with these credentials")
		return
	}
	g, err := kafka.NewAdmin(t).Group(ctx, name)
	switch {
	case errors.Is(err, kafka.ErrGroupMissing):
		found.add(check, warning, "start a service of the group, or check its name: {service}-{env} unless Group says otherwise", "does not exist")
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
			found.add(check, warning, "members drop it and go on from the commit: some events may be repeated", "%s/%d: %s", p.Topic, p.Partition, p.Problem)
		}
		if p.Member == "" && p.Lag > 0 {
			idle++
		}
	}
	switch {
	case len(g.Members) == 0 && lag > 0:
		found.add(check, bad, "start its service", "has no members, and %s left to handle", counted(lag, "event"))
	case idle > 0:
		found.add(check, warning, "see eventbus groups describe "+name, "events wait in %s without a member (%s)", counted(idle, "partition"), g.State)
	case len(g.Members) > 0 && g.State != "Stable":
		found.add(check, warning, "look again in a minute: a group that does not come to rest has members that come and go, or one that hangs", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	default:
		found.add(check, fine, "", "%s, %s, lag %d", g.State, counted(len(g.Members), "member"), lag)
	}
}

// owners returns the member that each partition is assigned to.
func owners(g *kafka.Group) map[transport.Partition]string {
	all := make(map[transport.Partition]string)
	for _, m := range g.Members {
		for _, p := range m.Assigned {
			all[p] = m.ID
		}
	}
	return all
}

// ahead is how far a record's time may be ahead of this machine's clock before
// it counts as skew: the record was written a moment ago, on a machine whose
// clock is not ours.
const ahead = time.Second

// examineClocks compares this machine's clock with the times of the newest
// records. Brokers do not tell their time, so this is all there is: a record
// from the future shows that a clock differs, that of its producer, or of the
// broker if brokers stamp records. A record from the past shows nothing.
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
		// The last record of a partition is its newest, nearly always:
		// producers' clocks may differ by less than what is looked for.
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
		found.add("clocks", warning, remedy, "%s is %s ahead of this machine's clock", where, skew.Round(time.Millisecond))
	default:
		found.add("clocks", unknown, "", "no record is ahead of this machine's clock: that it is behind would not show")
	}
}
