// Package claimcheck keeps large event data out of Kafka. Its codec puts data above a size into
// a Store and publishes a reference instead, and fetches the data again before it is decoded.
//
//	photos := claimcheck.Dir("/mnt/claims")
//	var PhotoTaken = eventbus.NewTopic(eventbus.TopicConfig[Photo]{
//		…
//		Codec: claimcheck.New(eventbus.JSON(), photos, claimcheck.Config{}),
//	})
//
// The reference is CloudEvents' extension attribute dataref, accompanied by the data's digest
// and size, so an event is either complete or refused. Data that was altered, cut short or
// removed makes the event a dead letter, which keeps the reference. While a Store does not
// answer, the retry policy retries the event.
//
// Data is in the Store before the event is in the log. If the event is then refused, an object
// remains that nobody refers to; retention of the topic leaves such objects too. [Folder.Sweep]
// removes old ones.
//
// The files:
//
//	codec   the codec, its Config and the attributes
//	folder  a Store in a directory
package claimcheck
