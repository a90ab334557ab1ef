package declare

// Uses lists the topics that a bus uses.
type Uses struct {
	Service, Environment string // of the bus, as its configuration has them
	Topics               []Use  // in no order
}

// Use is one type of event that a bus publishes or handles.
type Use struct {
	Topic     *Topic
	Published bool     // the bus has a publisher of it
	Groups    []string // consumer groups of the bus that handle its topic, in no order
}
