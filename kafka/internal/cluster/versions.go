package cluster

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// versionRange is the range of versions of a request that a broker supports.
type versionRange struct{ min, max int16 }

// Highest returns the highest version of a request that this module supports. The limits come from
// the hand-written encoders and from what callers rely on; a request that neither concerns has
// none. In later versions, Fetch, OffsetCommit and OffsetFetch name topics by ID alone (KIP-516,
// KIP-848).
func Highest(key int16) int16 {
	switch kmsg.Key(key) {
	case kmsg.Produce:
		return 13
	case kmsg.Fetch, kmsg.Metadata:
		return 12
	case kmsg.OffsetCommit, kmsg.OffsetFetch:
		return 9
	case kmsg.InitProducerID:
		return 5
	case kmsg.AddPartitionsToTxn:
		return 3 // higher versions are for brokers among themselves
	case kmsg.EndTxn, kmsg.TxnOffsetCommit:
		return 4 // in higher versions the client's epoch changes with each transaction (KIP-890)
	case kmsg.ApiVersions:
		return 3
	}
	return 1<<15 - 1
}

// Version returns the version to use for a request: the highest that this connection's broker
// supports, but at most the caller's. It asks the broker once per connection, since a broker may
// come back older or newer than it was. The error is kerr.UnsupportedVersion if they have none in
// common, and otherwise that of asking.
//
// A broker hangs up on an unknown version, so nothing is sent before asking.
func (w *Conn) Version(key, most int16, deadline time.Time) (int16, error) {
	if w.Link.versions == nil {
		if err := w.negotiate(deadline); err != nil {
			return 0, err
		}
	}
	has, ok := w.Link.versions[key]
	if !ok || has.min > most {
		return 0, fmt.Errorf("broker %s does not support the request %s: %w",
			w.Link.address, kmsg.NameForKey(key), kerr.UnsupportedVersion)
	}
	return min(has.max, most), nil
}

// negotiate asks the broker for its versions: in version 3 (Kafka 2.4), then in version 0 if
// the broker does not know that (KIP-511).
func (w *Conn) negotiate(deadline time.Time) error {
	resp, err := w.ApiVersions(Highest(int16(kmsg.ApiVersions)), deadline)
	if err == nil && kerr.Error(resp.ErrorCode) == kerr.UnsupportedVersion {
		resp, err = w.ApiVersions(0, deadline)
	}
	if err == nil {
		err = kerr.CodeError(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("asking for the versions that the broker supports: %w", err)
	}
	versions := make(map[int16]versionRange, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		versions[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	w.Link.versions = versions
	return nil
}

// ApiVersions asks the broker for its supported versions, by a request of the given version. A
// broker that does not know that version answers with UnsupportedVersion in the response.
func (w *Conn) ApiVersions(version int16, deadline time.Time) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "eventbus-go", "v1"
	req.SetVersion(version)
	frame := TakeFrame()
	defer GiveFrame(frame)
	var err error
	if frame.Bytes, err = appendRequest(frame.Bytes[:0], req, w.Link.client.Options.ClientID); err != nil {
		return nil, err
	}
	// This response's header never has tagged fields, so that every client can read it.
	body, err := w.Await(frame.Bytes, nil, false, deadline, Allocate)
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(version)
	// A broker that doesn't know the version says so in version 0.
	if len(body) >= 2 && kerr.Error(int16(body[0])<<8|int16(body[1])) == kerr.UnsupportedVersion {
		resp.SetVersion(0)
	}
	return resp, resp.ReadFrom(body)
}
