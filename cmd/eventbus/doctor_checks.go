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
	// names stays parallel to there.
	var there []transport.TopicInfo
	var names []string
	for _, s := range states {
		switch s.State {
		case "missing":
			// Services work without it, so this is a warning rather than a failure.
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
	// Only about topics that exist: brokers know no rights on others.
	examineNeeds(ctx, found, t, states, names)
	return there, nil
}

// examineNeeds checks whether these credentials have the rights that the use of the topics
// requires.
func examineNeeds(ctx context.Context, found *doctor.Findings, t *kafka.Transport, states []topicState, names []string) {
	// Brokers report only the rights of the credentials that ask (KIP-430): run it with those
	// of the service.
	topics, err := kafka.NewAdmin(t).TopicRights(ctx, names...)
	if err != nil {
		found.Add("topics' ACLs", doctor.Unknown, "", "%v", err)
		return
	}
	groups := make(map[string]kafka.Rights)
	// The only operations that needsOf names.
	operations := map[string]kafka.Operation{"Read": kafka.OperationRead, "Write": kafka.OperationWrite}
	var told []right
	for i := range states {
		for _, need := range states[i].needs {
			// The rights on all topics came with one request. Each group costs a request, so its
			// answer is kept.
			has := topics[need.Name]
			if need.Resource == "group" {
				var known bool
				if has, known = groups[need.Name]; !known {
					if has, err = kafka.NewAdmin(t).GroupRights(ctx, need.Name); errors.Is(err, transport.ErrUnauthorized) {
						// The broker refuses to describe a group that may not even be seen: nothing is
						// allowed.
						has.Known = true
					}
					groups[need.Name] = has
				}
			}
			// Brokers without authorization report no rights, and an unknown right is not a finding.
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
