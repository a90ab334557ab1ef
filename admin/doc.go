// Package admin serves, by HTTP and as JSON, what the people who operate a service
// need of its bus. Nothing serves it unless the program says so.
//
//	GET  /groups                  eventbus.Inspection: subscriptions, partitions, lag, lanes,
//	                              parked keys, breakers
//	GET  /catalog                 catalog.Document: topics, types, keys, groups
//	POST /groups/{group}/pause    {"subscription": "sales.public.customers.v1 CustomerCreated"}
//	POST /groups/{group}/resume   the same
//	POST /groups/{group}/unpark   {"topic": "…", "partition": 3, "key": "c-1"}, or "keyBase64"
//	POST /groups/{group}/skip     {"topic": "…", "partition": 3, "offset": 1207}
//	GET  /log-level               {"level":"info"}, where LogLevel is given
//	PUT  /log-level               the same
//
// What is asked for acts on this member of the group alone; see eventbus.Bus.Pause,
// Unpark and Skip. Orders that are carried out are answered with {} and logged.
//
// A refusal is {"error":"…"}: 400 for a body that is malformed or has a field that
// is not known, 401 for a wrong or missing token, 403 for a caller from another
// machine where there is no token, 404 for what is not here, 405 for another
// method, 409 for what can't be done now, 413 for a body that is too large.
//
// # Who may ask
//
// With [Token], whoever sends it as a bearer token (RFC 6750). Without one, this
// machine alone: the connection must come from a loopback address and must name
// one, so that no web page that a browser here has open reaches it by a name of its
// own. Keys of events and texts of errors are in the answers: serve them over TLS
// where they leave the machine.
package admin
