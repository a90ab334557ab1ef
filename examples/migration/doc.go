// Package migration moves services from other clients to the bus and back. Its packages
// have the code of the guides, before and after; its tests run both on one topic and one
// group: on a broker in the process, or on those that EVENTBUS_TEST_BROKERS names.
package migration
