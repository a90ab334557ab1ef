package group

import (
	"context"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

// memberShown is what a description of the group says about a member.
type memberShown struct {
	// clientID may be any client's text: ClientTypes bounds it before decoding.
	clientID     string
	subscription []byte // of the classic protocol; nil in that of KIP-848
	assignment   []byte // the same
	// topics are those of the subscription, and assigned are the partitions that the
	// coordinator has assigned; with KIP-848 only.
	topics   []string
	assigned []transport.Partition
}

// describe is a request for the description of one group. It is encoded and read here, since
// kmsg's types for the two requests would make every service that only consumes 100 kB larger.
// Reading allocates nothing by a count that the broker sends.
type describe struct {
	// group is the group's ID.
	group   string
	epochs  bool // by the protocol of KIP-848
	version int16
}

// The versions in use: every broker that has the protocol supports them.
const (
	describeClassic = 4
	describeEpochs  = 0
)

// newDescribe returns the request for a group.
func newDescribe(group string, epochs bool) kmsg.Request {
	return cluster.Rare(&describe{group: group, epochs: epochs}, (*describe).AppendTo, (*described).ReadFrom)
}

// describeGroup asks for the description of a group, by the protocol of the member. While
// members move to KIP-848 one by one, the coordinator treats the group as one of that protocol,
// and reports it as dead to requests of the classic one. Then the description of KIP-848 is
// asked for.
func describeGroup(ctx context.Context, ask func(context.Context, kmsg.Request) (kmsg.Response, error), refused func(int16) error, group string, epochs bool) (*described, error) {
	answer, err := ask(ctx, newDescribe(group, epochs))
	if err != nil {
		return nil, err
	}
	d := answer.(*described)
	if err := refused(d.code); err != nil {
		return nil, err
	}
	if !epochs && d.state == "Dead" {
		if other, err := describeGroup(ctx, ask, refused, group, true); err == nil {
			return other, nil
		}
	}
	return d, nil
}

// Key, MaxVersion and the methods below implement kmsg.Request. The version is fixed, since
// every broker with the protocol has it.
func (d *describe) Key() int16 {
	if d.epochs {
		return int16(kmsg.ConsumerGroupDescribe)
	}
	return int16(kmsg.DescribeGroups)
}

func (d *describe) MaxVersion() int16 {
	if d.epochs {
		return describeEpochs
	}
	return describeClassic
}

func (d *describe) SetVersion(v int16)    { d.version = v }
func (d *describe) GetVersion() int16     { return d.version }
func (d *describe) IsFlexible() bool      { return d.epochs }
func (d *describe) ReadFrom([]byte) error { return kbin.ErrNotEnoughData } // only brokers read it

func (d *describe) ResponseKind() kmsg.Response { return &described{epochs: d.epochs} }

// AppendTo implements kmsg.Request.
func (d *describe) AppendTo(b []byte) []byte {
	if d.epochs {
		b = kbin.AppendCompactArrayLen(b, 1)
		b = kbin.AppendCompactString(b, d.group)
		b = kbin.AppendBool(b, false) // without authorized operations
		return append(b, 0)           // no tags
	}
	b = kbin.AppendArrayLen(b, 1)
	b = kbin.AppendString(b, d.group)
	return kbin.AppendBool(b, false)
}

// described is the response to describe.
type described struct {
	epochs  bool
	version int16

	// code is the group's error, 0 for none. state and members are set only without one.
	code    int16
	state   string
	members []memberShown
}

// The methods below implement kmsg.Response, as far as a client uses it.
func (d *described) Key() int16 {
	of := describe{epochs: d.epochs}
	return of.Key()
}

func (d *described) MaxVersion() int16         { return d.version }
func (d *described) SetVersion(v int16)        { d.version = v }
func (d *described) GetVersion() int16         { return d.version }
func (d *described) IsFlexible() bool          { return d.epochs }
func (d *described) AppendTo(b []byte) []byte  { return b } // only brokers write it
func (d *described) RequestKind() kmsg.Request { return &describe{epochs: d.epochs} }
func (d *described) ReadFrom(b []byte) error   { return d.read(&kbin.Reader{Src: b}) }

// read reads the body in the requested version. A reader that runs short returns zeros and
// empty strings from then on, so it is checked once, at the end, by Complete.
func (d *described) read(r *kbin.Reader) error {
	// The response is about one group, as the request was.
	r.Int32() // throttle
	if d.epochs {
		d.readEpochs(r)
	} else {
		d.readClassic(r)
	}
	return r.Complete()
}

// readClassic reads DescribeGroups version 4.
func (d *described) readClassic(r *kbin.Reader) {
	if r.ArrayLen() < 1 {
		return
	}
	d.code = r.Int16()
	_ = r.String() // group
	d.state = r.String()
	_ = r.String() // protocol type
	_ = r.String() // protocol
	for n := r.ArrayLen(); n > 0 && r.Ok(); n-- {
		var m memberShown
		_ = r.String()     // member id
		r.NullableString() // instance id
		m.clientID = r.String()
		_ = r.String() // host
		m.subscription = r.Bytes()
		m.assignment = r.Bytes()
		if r.Ok() {
			d.members = append(d.members, m)
		}
	}
	r.Int32() // authorized operations
}

// readEpochs reads ConsumerGroupDescribe version 0 (KIP-848).
func (d *described) readEpochs(r *kbin.Reader) {
	if r.CompactArrayLen() < 1 {
		return
	}
	d.code = r.Int16()
	r.CompactNullableString() // error message
	r.CompactString()         // group
	d.state = r.CompactString()
	r.Int32()         // group epoch
	r.Int32()         // assignment epoch
	r.CompactString() // assignor
	for n := r.CompactArrayLen(); n > 0 && r.Ok(); n-- {
		var m memberShown
		r.CompactString()         // member id
		r.CompactNullableString() // instance id
		r.CompactNullableString() // rack
		r.Int32()                 // member epoch
		m.clientID = r.CompactString()
		r.CompactString() // host
		for topics := r.CompactArrayLen(); topics > 0 && r.Ok(); topics-- {
			m.topics = append(m.topics, r.CompactString())
		}
		r.CompactNullableString() // regular expression
		m.assigned = readAssignment(r)
		readAssignment(r) // the target
		kmsg.SkipTags(r)
		if r.Ok() {
			d.members = append(d.members, m)
		}
	}
	r.Int32() // authorized operations
	kmsg.SkipTags(r)
	kmsg.SkipTags(r)
}

// readAssignment reads the partitions of a member, with their topics' names, and returns them
// sorted.
func readAssignment(r *kbin.Reader) (assigned []transport.Partition) {
	for n := r.CompactArrayLen(); n > 0 && r.Ok(); n-- {
		r.Uuid()
		topic := r.CompactString()
		for partitions := r.CompactArrayLen(); partitions > 0 && r.Ok(); partitions-- {
			assigned = append(assigned, transport.Partition{Topic: topic, Partition: r.Int32()})
		}
		kmsg.SkipTags(r)
	}
	kmsg.SkipTags(r)
	transport.SortPartitions(assigned)
	return assigned
}
