// Package adminorder gives orders to admin handlers, including those of earlier versions,
// which refuse an order with a field that they don't know before they do anything.
package adminorder

import (
	"encoding/json"
	"strings"
)

// Give gives an order with send, which posts a body to a handler and returns its refusal as an
// error. A handler of version 0.1, which refuses who and why, gets the order once more without
// them, and they are removed from order.
func Give(order map[string]any, send func(body []byte) error) error {
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	err = send(body)
	if !Refuses(err, "who") {
		return err
	}
	delete(order, "who")
	delete(order, "why")
	if body, err = json.Marshal(order); err != nil {
		return err
	}
	return send(body)
}

// Refuses reports whether err is a handler's refusal of a field that it does not know.
func Refuses(err error, field string) bool {
	return err != nil && strings.Contains(err.Error(), `unknown field "`+field+`"`)
}
