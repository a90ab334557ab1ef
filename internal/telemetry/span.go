package telemetry

// Operations of the conventions. A span is named by its operation and
// destination: "send dev.sales.public.orders.v1".
//
// Each event has one span that made it, whose context travels with it: send
// (PRODUCER) for an event that is published alone, create (PRODUCER) for one of a
// batch, whose send (CLIENT) is linked to all of them. Each attempt at handling
// is a process span (CONSUMER), the child of the former for a single event and
// linked to them for a batch. A dead letter is a send (CLIENT) beside the
// attempts. A commit is measured and has no span.
const (
	Send    = "send"
	Create  = "create"
	Process = "process"
	Poll    = "poll"
	Commit  = "commit"
)

// Types of operations where they differ from the name.
const (
	TypeReceive = "receive"
	TypeSettle  = "settle"
)

// SpanName returns the name of a span, in the form that the conventions give.
func SpanName(operation, destination string) string { return operation + " " + destination }
