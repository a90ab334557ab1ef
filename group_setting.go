package eventbus

import "fmt"

// sharedSettings are the settings that one topic has in one group, whichever of
// its subscriptions set them: all of them read one log in one order.
type sharedSettings struct {
	order   agreed[Order]
	start   agreed[StartPosition]
	unknown agreed[unknownPolicy]
	beyond  agreed[OutOfRange]
}

// agreed is a setting on which the subscriptions of one topic and group agree.
type agreed[V comparable] struct {
	value V
	// by names the subscription that set it, empty if none did.
	by string
}

// set takes over a value that a subscription sets; nil is not set. The error names
// both subscriptions that differ.
func (a *agreed[V]) set(what string, v *V, by string) error {
	switch {
	case v == nil:
		return nil
	case a.by != "" && a.value != *v:
		return fmt.Errorf("%s is %v for %s and %v for %s: it holds for topic and group together, use one value, or another Group", what, a.value, a.by, *v, by)
	}
	a.value, a.by = *v, by
	return nil
}
