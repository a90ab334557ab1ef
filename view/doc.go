// Package view keeps a local table of the last event of each key of a compacted
// topic. It is for services that look things up far more often than they change:
// prices, customers, settings.
//
//	prices, err := view.New(bus, catalog.PriceTopic, view.Config{})
//	…
//	err = prices.Start(ctx) // returns when the table holds what the topic held
//	…
//	price, found, err := prices.Get(ctx, "sku-17")
//
// Every process that has a view reads the whole topic, outside any consumer group:
// nothing is committed, and no rebalance moves it. A view is ready when it has applied
// everything that was committed to the topic at its start; it follows the topic from
// then on. A key disappears when a tombstone deletes it, or when its last event has
// another type: compaction keeps one record per key, whatever its type.
//
// A topic that was deleted and created again, or whose log was truncated, is read
// into a second table, while the first still serves reads. The second replaces it
// when it is complete.
//
// A view is a copy that lags by milliseconds. To read what this process has just
// published, wait for the receipt: [View.WaitFor].
//
// The files:
//
//	view      New, Start, Get, Range, WaitFor, Close
//	config    options and their checks
//	follower  reads the topic: chooses a table, and starts over when it must
//	apply     writes batches into the table, and completes it
//	position  the table's progress, and waiting for it
//	record    a record as a table stores it
//	store     the interface of tables; memory: in the process
//	status    state and health; metrics
package view
