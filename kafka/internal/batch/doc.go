// Package batch encodes and decodes record batches of message format 2 (KIP-98), in pooled
// memory.
//
// Encoding:
//
//	encode.go      records into a batch, and its fixed part when it is sent
//	compress.go    the codecs, one encoder for each producer
//
// Decoding:
//
//	header.go      the batches in a fetch response, checked before anything is allocated
//	decode.go      Reader: the records of a partition's batches, without aborted transactions
//	record.go      one record, and what is kept of one that is too large
//	content.go     the part of a batch's content that is in memory
//	decompress.go  the codecs as streams
//	snappy.go      a stream of snappy, which its library lacks for large blocks
//	headers.go     record headers, with their keys interned
//
// Memory:
//
//	memory.go      pools of records
//	buffer.go      Buffer: bytes that return to a pool once the last user has released them
package batch
