package kafka

// compressions are the names of the codecs, by their number in a batch's attributes.
var compressions = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}
