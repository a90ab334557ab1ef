// Package console serves web pages on which an operator sees what holds up the bus, and
// can unblock it: what is stuck and why, parked keys, dead letters by cause and the jobs
// that redeliver them, the story of an event across topics, the catalogue, a doctor.
//
//	c, err := console.New(console.Config{Bus: bus, Cluster: cluster, Tokens: tokens})
//	mux.Handle("/ops/", http.StripPrefix("/ops", c))
//	server.RegisterOnShutdown(func() { c.Close(ctx) })
//
// It shows what Config names: the bus of this process, the admin handlers of other
// processes (see package admin), the cluster. Pages work without scripts; with scripts
// they update live.
//
// Linking html/template keeps every exported method of everything that a program links,
// which adds five megabytes to a service. So no other package of this module imports this
// one, except for fxmodule/fxconsole.
//
// # Access
//
// With Config.Tokens, users log in with a token in a form and get a cookie. Without, only
// this machine has access, by a loopback address, as in package admin. The console refuses
// requests that name a host it does not serve, and those that a page of another origin
// makes. Every order is logged with its user and reason, or with why it was refused. Text
// from outside is escaped, and its control characters are made visible. Event data is shown
// only with Config.ShowData, and without personal fields. Keys and errors are always shown:
// serve the pages over TLS if they leave the machine.
//
// # Files
//
//	config.go     Config: the sources, and who has access
//	console.go    Console: routes, and the goroutines that run until Close
//	page.go       pages and their templates
//	refusal.go    answers to what is refused, and the log of refused orders
//	live.go       streams of changed fragments
//	gate.go       access: hosts, tokens, sessions
//	login.go      the form and the cookie
//
//	desk.go       what all pages and orders share
//	pages.go      the list of pages and orders
//	watch.go      members and their latest answers
//	member.go     this process, and the admin handlers of others
//	history.go    figures of the last minutes, and their sparklines
//	survey.go     all members' groups combined
//	cluster.go    what Kafka knows: groups, dead-letter topics
//
//	now.go        what holds the bus up, in words
//	keys.go       parked keys; members
//	order.go      orders to members, and their results until the next page shows them
//	letters.go    dead letters by cause, and one of them
//	jobs.go       dry runs and jobs
//	replay.go     dry runs and orders of replays by a group's handlers
//	replays.go    requests to the members that replay, and the replays ordered here
//	story.go      searches
//	story_tree.go their results, as a tree of causes
//	contracts.go  topics, types and fields
//	outbox.go     the relays of an outbox
//	diagnosis.go  findings of a doctor
//	download.go   what pages show, as files
//	event.go      one event, without what may not be shown
//	words.go      durations, numbers and texts
package console
