package eventbus

import "github.com/google/uuid"

// newEventID returns a UUID of version 7 (RFC 9562, 5.7), whose first bits are
// milliseconds: ids sort by age.
func newEventID() string {
	return uuid.Must(uuid.NewV7()).String() // it fails where the system has no randomness, and so no ids
}
