// Package console serves pages on which an operator sees what holds up the bus, and can
// unblock it: what stands still and why, parked keys, dead letters by cause and jobs that
// redeliver them, the story of an event across topics, the catalogue, a doctor.
//
//	c, err := console.New(console.Config{Bus: bus, Cluster: cluster, Tokens: tokens})
//	mux.Handle("/ops/", http.StripPrefix("/ops", c))
//	server.RegisterOnShutdown(func() { c.Close(ctx) })
//
// It shows what it is given: the bus of this process, the admin handlers of others (see
// package admin), the cluster. Pages work without scripts; with them they update live.
//
// A program that links html/template keeps every exported method of what it links, which
// adds five megabytes to a service. So no other package of this module imports this one,
// except for fxmodule/fxconsole.
//
// # Access
//
// With Config.Tokens, users log in with a token in a form and get a cookie. Without, only
// this machine has access, by a loopback address, as in package admin. Requests that name
// a host that is not served, or that a page of another origin makes, are refused. Every
// order is logged with who gave it and why. Text from outside is escaped, and its control
// characters are made visible. Data of events is shown only with Config.ShowData, and
// without personal fields. Keys and errors are always shown: serve the pages over TLS if
// they leave the machine.
//
// # Files
//
//	config.go     what is shown, and to whom
//	console.go    Console: routes, and what runs until Close
//	page.go       pages and their templates
//	live.go       streams of what has changed
//	gate.go       who may ask: hosts, tokens, sessions
//	login.go      the form and the cookie
//	sayings.go    what an order came to, until the next page shows it
//
//	desk.go       what pages are made of and orders go through
//	pages.go      which pages and orders there are
//	watch.go      members and when they were heard
//	member.go     this process, and the admin handlers of others
//	history.go    figures of the last minutes, and pictures of them
//	survey.go     all members' groups as one
//	cluster.go    what Kafka knows: groups, dead-letter topics
//
//	now.go        what holds the bus up, in words
//	keys.go       parked keys; members
//	order.go      orders to members
//	letters.go    dead letters by cause, and one of them
//	jobs.go       dry runs and jobs
//	replay.go     handlers that run again over a stretch of a topic
//	replays.go    what is asked of their member, and those that run
//	story.go      searches
//	story_tree.go what they find, as a tree of causes
//	contracts.go  topics, types and fields
//	outbox.go     the relays of an outbox
//	diagnosis.go  findings of a doctor
//	download.go   what pages show, as files
//	event.go      one event, as far as it may be shown
//	words.go      durations, numbers and texts
package console
