package declare

import (
	"hash/crc32"

	"github.com/eventbus-go/eventbus/internal/murmur2"
)

// Partitioner chooses the partition of a key. The zero value is Murmur2. Two are equal
// if they are the same built-in one, or come from one call of PartitionBy.
type Partitioner struct{ p *partitioner }

type partitioner struct {
	name   string
	custom bool
	choose func(key []byte, partitions int32) int32
}

// The partitioners that other clients have by default.
var (
	Murmur2 = Partitioner{}
	FNV1a   = Partitioner{&partitioner{name: "fnv1a", choose: fnv1a}}
	CRC32   = Partitioner{&partitioner{name: "crc32", choose: crc}}
)

// PartitionBy returns a partitioner that calls a function.
func PartitionBy(name string, choose func(key []byte, partitions int32) int32) Partitioner {
	return Partitioner{&partitioner{name: name, custom: true, choose: choose}}
}

// PartitionerNamed returns the built-in partitioner of a name; "" is Murmur2.
func PartitionerNamed(name string) (Partitioner, bool) {
	switch name {
	case "", "murmur2":
		return Murmur2, true
	case "fnv1a":
		return FNV1a, true
	case "crc32":
		return CRC32, true
	}
	return Murmur2, false
}

// String returns the partitioner's name.
func (p Partitioner) String() string {
	if p.p == nil {
		return "murmur2"
	}
	return p.p.name
}

// Custom reports whether the partitioner is a function of the declaration's author, which
// no other program knows by name.
func (p Partitioner) Custom() bool { return p.p != nil && p.p.custom }

// Of returns the partition of a key. It does not check what a custom function returns.
func (p Partitioner) Of(key []byte, partitions int32) int32 {
	if p.p == nil {
		return murmur2.Partition(key, partitions)
	}
	return p.p.choose(key, partitions)
}

// fnv1a chooses as kafka-go's Hash and sarama's NewHashPartitioner do, which
// Watermill uses: the hash is a signed number, and so is the remainder, whose
// sign is dropped.
func fnv1a(key []byte, partitions int32) int32 {
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	n := int32(h) % partitions //nolint:gosec // the bits as they are, as those libraries take them
	if n < 0 {
		n = -n
	}
	return n
}

// crc chooses as librdkafka's partitioners consistent and consistent_random do, and so do
// clients based on it by default, such as Confluent's for .NET, Python and Go.
func crc(key []byte, partitions int32) int32 {
	return int32(crc32.ChecksumIEEE(key) % uint32(partitions)) //nolint:gosec // below a count of partitions
}

// CheckPartitioner checks the partitioner of a declaration.
func CheckPartitioner(wrong *Faults, p Partitioner) {
	if p.p == nil {
		return
	}
	_, builtIn := PartitionerNamed(p.p.name)
	switch {
	case p.p.choose == nil:
		wrong.Add("Partitioner", "has no function")
	case p.p.custom && (p.p.name == "" || builtIn):
		wrong.Add("Partitioner", "is called %q: give yours a name of its own", p.p.name)
	}
}
