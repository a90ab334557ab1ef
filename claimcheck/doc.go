// Package claimcheck keeps large event data out of Kafka: a codec that puts data
// above a size into a Store and publishes a reference in its place, and fetches it
// again before the data is decoded.
//
//	photos := claimcheck.Dir("/mnt/claims")
//	var PhotoTaken = eventbus.NewTopic(eventbus.TopicConfig[Photo]{
//		…
//		Codec: claimcheck.New(eventbus.JSON(), photos, claimcheck.Config{}),
//	})
//
// The reference is the extension attribute dataref of CloudEvents, with the data's
// digest and size beside it, so an event is complete or refused: data that was
// altered, cut short or removed makes a dead letter, which keeps the reference, and a
// Store that does not answer is waited for by the retry policy.
//
// Data is in the Store before the event is in the log. An event that was then
// refused leaves an object that nobody refers to; so does retention. [Folder.Sweep]
// removes what is old.
//
// The files:
//
//	codec   the codec, its Config and the attributes
//	folder  a Store in a directory
package claimcheck
