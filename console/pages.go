package console

import "maps"

// pages returns the pages in the order of the navigation, without those that need something
// the console does not have.
func (d *desk) pages() []*page {
	all := []*page{
		{name: "now", title: "Now", data: d.now, live: true, fragments: []string{"state", "concerns", "groups", "partitions"}},
		{name: "keys", title: "Keys", data: d.keys, live: true, fragments: []string{"keys"}},
	}
	if d.cluster != nil {
		letters := &page{name: "letters", title: "Dead letters", data: d.letters}
		all = append(all, letters,
			&page{name: "cause", title: "One cause", data: d.cause, hidden: true, from: letters},
			&page{name: "letter", title: "A dead letter", data: d.letter, hidden: true, from: letters},
			&page{name: "plan", title: "Dry run", data: d.plan, hidden: true, from: letters},
			&page{name: "jobs", title: "Jobs", data: d.jobs, live: true, fragments: []string{"jobs"}},
			&page{name: "story", title: "Story", data: d.story})
	}
	replays := &page{name: "replays", title: "Replays", data: d.replayPage, live: true, fragments: []string{"replays"}}
	all = append(all, replays, &page{name: "replay-plan", title: "Dry run", data: d.replayPlan, hidden: true, from: replays})
	all = append(all, &page{name: "catalog", title: "Catalogue", data: d.contracts})
	if d.config.Outbox != nil {
		all = append(all, &page{name: "outbox", title: "Outbox", data: d.outbox, live: true, fragments: []string{"outbox"}})
	}
	return append(all,
		&page{name: "doctor", title: "Doctor", data: d.doctor},
		&page{name: "members", title: "Members", data: d.membersPage, live: true, fragments: []string{"members"}})
}

// orders returns the functions that carry out orders, by path.
func (d *desk) orders() map[string]act {
	all := d.memberOrders()
	maps.Copy(all, d.replayOrders())
	if d.cluster != nil {
		maps.Copy(all, d.jobOrders())
	}
	return all
}
