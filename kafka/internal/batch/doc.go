// Package batch encodes and decodes record batches of message format 2
// (KIP-98), in memory that it takes from pools.
//
// Encoding:
//
//	encode.go      records into a batch, and what a batch is stamped with when it is sent
//	compress.go    the codecs, one encoder for each producer
//
// Decoding:
//
//	header.go      the batches in a fetch response, checked before anything is allocated
//	decode.go      Reader: the records of a partition's batches, aborted transactions left out
//	record.go      one record, and what is kept of one that takes too much memory
//	content.go     the content of a batch, as far as it is in memory
//	decompress.go  the codecs as streams
//	snappy.go      the stream of snappy, which its library lacks for large blocks
//	headers.go     record headers, with their keys interned
//
// Memory:
//
//	memory.go      pools of records
//	buffer.go      Buffer: bytes that are given back when the last user has released them
package batch
