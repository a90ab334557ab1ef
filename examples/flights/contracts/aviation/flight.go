// Package aviation is the contract between those who operate flights and those
// who want to know about them: what happens to a flight, as events.
package aviation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// FlightDeparted is the event that a flight took off.
type FlightDeparted struct {
	Carrier     string    `json:"carrier" eventbus:"key=1"`
	Flight      int       `json:"flight" eventbus:"key=2"`
	Tail        string    `json:"tail,omitempty"`
	Origin      string    `json:"origin"`
	Destination string    `json:"destination"`
	Scheduled   time.Time `json:"scheduled"`
	// DelayMinutes is negative for an early departure, and nil if it is unknown.
	DelayMinutes *int `json:"delayMinutes,omitempty"`
}

// FlightCancelled is the event that a flight will not take place.
type FlightCancelled struct {
	Carrier     string    `json:"carrier" eventbus:"key=1"`
	Flight      int       `json:"flight" eventbus:"key=2"`
	Origin      string    `json:"origin"`
	Destination string    `json:"destination"`
	Scheduled   time.Time `json:"scheduled"`
}

//go:generate env EVENTBUS_UPDATE=1 go test -run TestCatalog .

// partitions is the number of partitions of the flights' topic. Both
// declarations must agree on it.
const partitions = 8

// Both topics are one topic in Kafka, flights.v1: all that happens to a flight
// number of a carrier is in one order, whatever it is.
var (
	// DepartedTopic carries one event per departure.
	DepartedTopic = eventbus.NewTopic(eventbus.TopicConfig[FlightDeparted]{
		Domain: "aviation", Name: "flight", Plural: true, Partitions: partitions,
		Description: "Flights that took off, in order per carrier and flight number.", Owner: "flight-operations",
	})
	// CancelledTopic carries one event per cancellation.
	CancelledTopic = eventbus.NewTopic(eventbus.TopicConfig[FlightCancelled]{
		Domain: "aviation", Name: "flight", Plural: true, Partitions: partitions,
		Description: "Flights that will not take place.", Owner: "flight-operations",
	})
)

// EventID returns the id of the event for a row of the timetable, counted from
// 1. A row that is published again makes an event with the same id, which a
// consumer recognises.
func EventID(row int) string { return "row-" + strconv.Itoa(row) }

// RowOf returns the row that an event id was made from.
func RowOf(id string) (int, error) {
	digits, ok := strings.CutPrefix(id, "row-")
	row, err := strconv.Atoi(digits)
	if !ok || err != nil || row < 1 {
		return 0, fmt.Errorf("event id %q is not derived from a row", id)
	}
	return row, nil
}
