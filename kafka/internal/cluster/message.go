package cluster

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests are written and responses read through the types named here, not through kmsg's
// interfaces. If a method is called through an interface, a program links that method of every
// type, and kmsg's types have both directions of both messages: 300 kB in a service.

// rare is a request that brings along the functions for both messages, since only some
// programs send it.
type rare struct {
	kmsg.Request
	write func(kmsg.Request, []byte) []byte
	read  func(kmsg.Response, []byte) error
}

// Rare returns a request that this package does not name, with the functions that write it and
// read its response: methods of its type.
func Rare[Q kmsg.Request, R kmsg.Response](req Q, write func(Q, []byte) []byte, read func(R, []byte) error) kmsg.Request {
	return rare{
		req,
		func(req kmsg.Request, b []byte) []byte { return write(req.(Q), b) },
		func(resp kmsg.Response, b []byte) error { return read(resp.(R), b) },
	}
}

// Named is a request with its own client id in place of the Client's.
type Named struct {
	kmsg.Request
	ClientID string
}

// Unwrap returns the request itself.
func (n Named) Unwrap() kmsg.Request { return n.Request }

// appendRequest appends a framed request: the header, with correlation id 0, and the body.
func appendRequest(b []byte, req kmsg.Request, clientID string) ([]byte, error) {
	if named, ok := req.(Named); ok {
		clientID = named.ClientID
	}
	from := len(b)
	b, err := appendBody(AppendHeader(b, req, clientID), req)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b, nil
}

// AppendHeader appends a size of 0, to be filled in, and the header of a request, with
// correlation id 0 (https://kafka.apache.org/protocol.html#protocol_messages). The client id is
// never compact: a broker reads it before it knows the version.
func AppendHeader(b []byte, req kmsg.Request, clientID string) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	if req.IsFlexible() {
		b = append(b, 0) // tagged fields
	}
	return b
}

// unwrap returns the request inside wrappers that change how it is sent: one of kmsg's types,
// or a rare one.
func unwrap(req kmsg.Request) kmsg.Request {
	for {
		outer, ok := req.(interface{ Unwrap() kmsg.Request })
		if !ok {
			return req
		}
		req = outer.Unwrap()
	}
}

// appendBody appends the body of a request.
func appendBody(b []byte, req kmsg.Request) ([]byte, error) {
	switch r := unwrap(req).(type) {
	case rare:
		return r.write(r.Request, b), nil
	case *kmsg.ApiVersionsRequest:
		return r.AppendTo(b), nil
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return r.AppendTo(b), nil
	case *kmsg.CreateTopicsRequest:
		return r.AppendTo(b), nil
	case *kmsg.DescribeConfigsRequest:
		return r.AppendTo(b), nil
	case *kmsg.FetchRequest:
		return r.AppendTo(b), nil
	case *kmsg.FindCoordinatorRequest:
		return r.AppendTo(b), nil
	case *kmsg.HeartbeatRequest:
		return r.AppendTo(b), nil
	case *kmsg.InitProducerIDRequest:
		return r.AppendTo(b), nil
	case *kmsg.JoinGroupRequest:
		return r.AppendTo(b), nil
	case *kmsg.LeaveGroupRequest:
		return r.AppendTo(b), nil
	case *kmsg.ListOffsetsRequest:
		return r.AppendTo(b), nil
	case *kmsg.MetadataRequest:
		return r.AppendTo(b), nil
	case *kmsg.OffsetCommitRequest:
		return r.AppendTo(b), nil
	case *kmsg.OffsetFetchRequest:
		return r.AppendTo(b), nil
	case *kmsg.OffsetForLeaderEpochRequest:
		return r.AppendTo(b), nil
	case *kmsg.SyncGroupRequest:
		return r.AppendTo(b), nil
	}
	return nil, fmt.Errorf("no function writes a %T: send it by Rare", req)
}

// readBody reads the body of a response into resp.
func readBody(resp kmsg.Response, req kmsg.Request, b []byte) error {
	if r, ok := unwrap(req).(rare); ok {
		return r.read(resp, b)
	}
	switch r := resp.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return r.ReadFrom(b)
	case *kmsg.CreateTopicsResponse:
		return r.ReadFrom(b)
	case *kmsg.DescribeConfigsResponse:
		return r.ReadFrom(b)
	case *kmsg.FetchResponse:
		return r.ReadFrom(b)
	case *kmsg.FindCoordinatorResponse:
		return r.ReadFrom(b)
	case *kmsg.HeartbeatResponse:
		return r.ReadFrom(b)
	case *kmsg.InitProducerIDResponse:
		return r.ReadFrom(b)
	case *kmsg.JoinGroupResponse:
		return r.ReadFrom(b)
	case *kmsg.LeaveGroupResponse:
		return r.ReadFrom(b)
	case *kmsg.ListOffsetsResponse:
		return r.ReadFrom(b)
	case *kmsg.MetadataResponse:
		return r.ReadFrom(b)
	case *kmsg.OffsetCommitResponse:
		return r.ReadFrom(b)
	case *kmsg.OffsetFetchResponse:
		return r.ReadFrom(b)
	case *kmsg.OffsetForLeaderEpochResponse:
		return r.ReadFrom(b)
	case *kmsg.SyncGroupResponse:
		return r.ReadFrom(b)
	}
	return fmt.Errorf("no function reads a %T: send its request by Rare", resp)
}
