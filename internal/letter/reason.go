package letter

// Reasons of dead letters, as their eventbus-dlq-reason header says.
const (
	ReasonMalformed   = "malformed"    // no CloudEvent
	ReasonUndecodable = "undecodable"  // its data can't be read
	ReasonUnreadable  = "unreadable"   // a note: an operator passed over what can't be read
	ReasonUnknownType = "unknown-type" // by DeadLetterUnknown
	ReasonPermanent   = "permanent"    // the handler says so
	ReasonHandler     = "handler"      // the handler failed; "exhausted" in the end
	ReasonPanic       = "panic"
	ReasonTimeout     = "timeout"
)
