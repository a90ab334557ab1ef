// Package view keeps a local table of the last event of each key of a compacted
// topic, for services that look things up far more often than they change: prices,
// customers, settings.
//
//	prices, err := view.New(bus, catalog.PriceTopic, view.Config{})
//	…
//	err = prices.Start(ctx) // returns when the table holds what the topic held
//	…
//	price, found, err := prices.Get(ctx, "sku-17")
//
// Every process that has a view reads the whole topic, outside any consumer group:
// nothing is committed, and no rebalance moves it. A view is ready when it has
// applied what was committed to the topic at its start, and follows the topic from
// then on. What a tombstone deletes is gone, and so is a key whose last event has
// another type: compaction keeps one record per key, whatever its type.
//
// A topic that was deleted and created again, or whose log was truncated, is read
// into a second table beside the first, which serves reads until the second is
// complete and takes its place.
//
// A view is a copy that lags by milliseconds. To read what this process has just
// published, wait for the receipt: [View.WaitFor].
//
// The files:
//
//	view      New, Start, Get, Range, WaitFor, Close
//	config    what can be chosen, and the checks
//	follower  reads the topic: chooses a table, and begins again
//	apply     writes batches into the table, and completes it
//	position  how far the table is, and those who wait for it
//	record    a record as a table keeps it
//	store     where tables are kept; memory: in the process
//	status    state and health; metrics
package view
