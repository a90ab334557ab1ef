package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/doctor"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// examineTopics compares the topics that a catalogue declares with those of the
// cluster. It returns those that exist, for further checks.
func (a *app) examineTopics(ctx context.Context, found *doctor.Findings, t *kafka.Transport, e *examination) ([]transport.TopicInfo, error) {
	var groups []string
	if e.group != "" {
		groups = []string{e.group}
	}
	states, err := a.compare(ctx, e.catalog, groups)
	if err != nil {
		return nil, err
	}
	// names stays parallel to there: the calls below take names.
	var there []transport.TopicInfo
	var names []string
	for _, s := range states {
		switch s.State {
		case "missing":
			// Services do without it, so this is a warning and not a failure.
			if s.later {
				found.Add(s.Topic, doctor.Warning, "create it: eventbus topics provision", "the topic, which keeps what operators decide about dead letters, does not exist, or may not be described")
				continue
			}
			found.Add(s.Topic, doctor.Bad, "create it: eventbus topics provision", "the topic does not exist, or may not be described")
			continue
		case "differs":
			var what []string
			for _, d := range s.Differences {
				what = append(what, fmt.Sprintf("%s is %s, declared %s", d.What, d.Actual, d.Declared))
			}
			found.Add(s.Topic, doctor.Warning, "change the topic, or its declaration", "%s", strings.Join(what, "; "))
		default:
			found.Add(s.Topic, doctor.Fine, "", "is as it is declared")
		}
		there, names = append(there, *s.info), append(names, s.Topic)
		if len(s.letters) == 0 && !s.later {
			doctor.Keys(ctx, found, t, s.info, s.partitioner)
		}
	}
	doctor.Replicas(ctx, found, t, there, names)
	// Only existing topics are asked about: a broker knows no rights on others.
	examineNeeds(ctx, found, t, states, names)
	return there, nil
}

// examineNeeds examines whether these credentials have the rights that the topics
// are used with.
func examineNeeds(ctx context.Context, found *doctor.Findings, t *kafka.Transport, states []topicState, names []string) {
	// Brokers tell what they allow the asking credentials, and nobody else's: run it with
	// those of the service (KIP-430).
	topics, err := kafka.NewAdmin(t).TopicRights(ctx, names...)
	if err != nil {
		found.Add("topics' ACLs", doctor.Unknown, "", "%v", err)
		return
	}
	groups := make(map[string]kafka.Rights)
	// These are the two operations that needsOf names.
	operations := map[string]kafka.Operation{"Read": kafka.OperationRead, "Write": kafka.OperationWrite}
	var told []right
	for i := range states {
		for _, need := range states[i].needs {
			// The rights of all topics came with one request. Groups have a request
			// each, so the answers are kept.
			has := topics[need.Name]
			if need.Resource == "group" {
				var known bool
				if has, known = groups[need.Name]; !known {
					if has, err = kafka.NewAdmin(t).GroupRights(ctx, need.Name); errors.Is(err, transport.ErrUnauthorized) {
						// The broker refuses to describe a group that may not even
						// be seen: nothing is allowed.
						has.Known = true
					}
					groups[need.Name] = has
				}
			}
			// Brokers without authorization tell nothing, and what is not known is not a finding.
			if !has.Known || has.Allow(operations[need.Operation]) || slices.Contains(told, need) {
				continue
			}
			told = append(told, need)
			verdict, what := doctor.Bad, fmt.Sprintf("%s on the %s is not allowed with these credentials, and needed for %s", need.Operation, need.Resource, need.For)
			if need.Perhaps {
				verdict, what = doctor.Warning, fmt.Sprintf("%s is not allowed with these credentials: a service that is %s needs it", need.Operation, need.For)
			}
			found.Add(need.Name, verdict, fmt.Sprintf("allow %s on the %s %s", need.Operation, need.Resource, need.Name), "%s", what)
		}
	}
}
