// Package group is a member of a consumer group, in the classic protocol
// (cooperative and eager) and in that of KIP-848.
//
//	consumer.go   Consumer: a member and its fetcher
//	group.go      the membership: one goroutine that joins, stays and leaves
//	join.go       JoinGroup and SyncGroup, the leader's plan
//	heartbeat.go  heartbeats, and what their errors mean
//	reconcile.go  revoking and assigning what changed, and leaving the group
//	epoch.go      the heartbeats of KIP-848
//	session.go    the session timeout, which KIP-848 makes the brokers'
//	topics.go     the topics' partitions, watched for growth
//	recreated.go  a topic that was deleted and created again
//	companion.go  companions: topics that the group does not spread, read along with others
//	accompany.go  owning what goes with the partitions that the group assigned
//	begin.go      beginning what was assigned, each topic by itself
//	await.go      the wait for other members, which start topics
//	start.go      where the partitions of a topic start
//	vanished.go   commits that are gone while members live
//	status.go     what keeps the member from its work, shown and logged
//	describe.go   what the coordinator shows of the members
//	offsets.go    committing
//	types.go      the types that members handle: this one's and the others'
//	stored.go     the types that the group handled lately, kept in a commit's metadata
//	stored_sync.go reading them at the join, and storing them
//	mark.go       the topic id that a commit carries
//	reset.go      commits for a group that has no members
package group
