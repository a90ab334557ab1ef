package personal_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/personal"
)

type signedUp struct {
	CustomerID string `json:"customerId"`
	Email      string `json:"email" data:"personal"`
}

// Personal data is unreadable in the log, and empty for every reader once the
// customer's key was deleted. A bus calls the codec of a topic as this program does.
func Example() {
	keys := new(personal.Ring) // a database's table, in a service
	codec := personal.New(eventbus.JSON(), keys, personal.Config{})

	event := &eventbus.Envelope{ID: "e-1", Type: "SignedUp", Key: []byte("c-1")}
	var err error
	event.Data, err = codec.Encode(context.Background(), nil, event, &signedUp{CustomerID: "c-1", Email: "ada@example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("in the log:", strings.Contains(string(event.Data), "c-1"), strings.Contains(string(event.Data), "ada@"))

	for _, erase := range []bool{false, true} {
		if erase {
			keys.Erase("c-1")
		}
		var got signedUp
		err := codec.Decode(context.Background(), event, &got)
		fmt.Printf("%+v %v\n", got, err)
	}
	// Output:
	// in the log: true false
	// {CustomerID:c-1 Email:ada@example.com} <nil>
	// {CustomerID:c-1 Email:} <nil>
}
