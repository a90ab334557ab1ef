// Package admin serves the inspection of a bus, and takes orders for it, over HTTP as
// JSON. It is for the operators of a service. Nothing is served unless the program
// asks for it.
//
//	GET  /groups                  eventbus.Inspection: subscriptions, partitions, lag, lanes,
//	                              parked keys, breakers
//	GET  /catalog                 catalog.Document: topics, types, keys, groups
//	GET  /catalog/asyncapi        the same as an AsyncAPI document; ?version=3.0.0 for the older form
//	GET  /catalog/pages/index.md  the same as pages for people, in Markdown; the index links to them
//	POST /groups/{group}/pause    {"subscription": "sales.public.customers.v1 CustomerCreated"}
//	POST /groups/{group}/resume   the same
//	POST /groups/{group}/unpark   {"topic": "…", "key": "c-1"}, or "keyBase64"; "partition" narrows it. Or
//	                              "partition" and "offset", for one of several events without a key
//	POST /groups/{group}/skip     {"topic": "…", "partition": 3, "offset": 1207, "why": "…"}
//	POST /groups/{group}/forget   {"topic": "…", "type": "CustomerMoved"}, of which events are held
//	POST /groups/{group}/replay   {"topic": "…", "from": "2026-07-01T10:00:00Z", "to": …}, or "fromOffsets"
//	                              and "toOffsets" {"3": 1207}; "keys", "types"; counts, unless "apply"
//	GET  /log-level               {"level":"info"}, if LogLevel is given
//	PUT  /log-level               the same
//
// An order affects only this member of the group; see [eventbus.Operator]. If it is
// carried out, the answer is {}, and it is logged with "who" and "why", which every
// body may contain. A skip loses an event and requires "why".
//
// A replay runs the group's handlers again, by Operator.ReplayGroup, on what this
// member reads of the topic, whichever member has its partitions. It counts the
// events by type and partition. With "apply": true, which requires "why", it then
// handles what it counted, at most "most" events, 10,000 by default. A replay ends
// with its request, one runs at a time, and the answer is a [Replayed].
//
// A refusal is {"error":"…"}: 400 for a body that is malformed or has an unknown
// member, 401 for a wrong or missing token, 403 for a caller from another machine
// if there is no token, 404 for something that does not exist here, 405 for
// another method, 409 for an order that can't be carried out now, 413 for a body
// that is too large.
//
// # Access
//
// With [Token], every caller that sends it as a bearer token (RFC 6750) has access.
// Without it, only callers on this machine have: the connection must come from a
// loopback address, and the request must name one, which keeps out web pages that
// reach the handler by a host name of their own. Requests that a proxy forwarded
// (Forwarded, X-Forwarded-*, X-Real-Ip, Via) do not count as local: behind a proxy,
// use a token. Answers contain keys of events and texts of errors: serve them over
// TLS if they leave the machine.
//
// # Files
//
//	handler.go  Handler: routes and access
//	order.go    the requests and their bodies
//	replay.go   replays by a group's handlers over a window
//	document.go the catalogue, and documents made from it
//	answer.go   answers as JSON
//	option.go   Token, Protobuf and LogLevel
//	config.go   where a handler is served
package admin
