// Package group implements a member of a consumer group, in the classic protocol (cooperative
// and eager) and in that of KIP-848.
//
//	consumer.go   Consumer: a member and its fetcher
//	group.go      the membership: one goroutine that joins, stays and leaves
//	join.go       JoinGroup and SyncGroup, the leader's plan
//	heartbeat.go  heartbeats, and what their errors mean
//	reconcile.go  revoking and assigning what changed; leaving the group
//	epoch.go      the heartbeats of KIP-848
//	session.go    the session timeout, which the brokers set with KIP-848
//	topics.go     the topics' partitions, watched for growth
//	recreated.go  a topic that was deleted and created again
//	companion.go  companions: topics that the group does not spread, read along with others
//	accompany.go  owning the companions of the partitions that the group assigned
//	begin.go      beginning assigned partitions, topic by topic
//	await.go      waiting for other members that start topics
//	start.go      where the partitions of a topic start
//	vanished.go   commits that disappear while members live
//	status.go     what keeps the member from its work, in the status and the log
//	describe.go   what the coordinator says about the members
//	offsets.go    committing
//	types.go      the types that members handle, this one and the others
//	stored.go     types that the group handled lately, stored in a commit's metadata
//	stored_sync.go reading them after the join, and storing them
//	mark.go       the topic id that a commit carries
//	reset.go      commits for a group that has no members
package group
