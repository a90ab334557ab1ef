package main

// scenarios returns all scenarios in the order of a campaign.
func scenarios() []scenario {
	all := []scenario{
		cleanStorm(), killStorm(), rollingBrokers(), brokersMoved(), brokerReplaced(), brokersLost(), diskFull(), frozenMembers(), publishersLost(),
		lettersRefused(), poisonFlood(), failingKeys(), dependencyDown(), memberJoins(), coordinatorMoves(), leaderMoves(), badNetwork(), mixedGroup(), hostileRecords(), flights(),
	}
	for _, p := range protocols {
		all = append(all, mixedVersions(p.name, p.value), typeAdded(p.name, p.value), typeRemoved(p.name, p.value))
	}
	for _, keys := range []int{1, 3, 9} {
		all = append(all, quietService(keys))
	}
	return all
}
