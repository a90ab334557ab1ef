package letter

// Reasons of dead letters: the values of the header eventbus-dlq-reason.
const (
	ReasonMalformed   = "malformed"    // not a CloudEvent
	ReasonUndecodable = "undecodable"  // its data can't be read
	ReasonUnreadable  = "unreadable"   // not an event: an operator passed over records that can't be read
	ReasonUnknownType = "unknown-type" // by DeadLetterUnknown
	ReasonPermanent   = "permanent"    // the handler said so
	ReasonHandler     = "handler"      // the handler failed; "exhausted" in the end
	ReasonPanic       = "panic"
	ReasonTimeout     = "timeout"
)
