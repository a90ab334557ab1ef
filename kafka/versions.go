package kafka

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// versionRange is what a broker speaks of one request.
type versionRange struct{ min, max int16 }

// highest is the highest version of a request that this package knows how to
// fill in. From the versions on that are left out here, Produce, Fetch,
// OffsetCommit and OffsetFetch name topics by id alone (KIP-516, KIP-848).
func highest(key int16) int16 {
	switch kmsg.Key(key) {
	case kmsg.Produce, kmsg.Fetch, kmsg.Metadata:
		return 12
	case kmsg.OffsetCommit, kmsg.OffsetFetch:
		return 9
	case kmsg.InitProducerID:
		return 5
	case kmsg.AddPartitionsToTxn:
		return 3 // what is above is for brokers among themselves
	case kmsg.EndTxn, kmsg.TxnOffsetCommit:
		return 4 // what is above says that the client's epoch changes with each transaction (KIP-890)
	case kmsg.ApiVersions:
		return 3
	}
	return 1<<15 - 1
}

// version picks the version of a request: the highest that the broker of this
// connection and the caller speak. Versions belong to the connection and not to
// the broker, since a broker may come back older or newer than it went.
//
// A broker answers a version that it doesn't know by hanging up, so nothing is
// sent without asking first.
func (w *conn) version(key, most int16, deadline time.Time) (int16, error) {
	if w.link.versions == nil {
		if err := w.negotiate(deadline); err != nil {
			return 0, err
		}
	}
	has, ok := w.link.versions[key]
	if !ok || has.min > most {
		return 0, fmt.Errorf("broker %s does not support the request %s: %w",
			w.link.address, kmsg.NameForKey(key), unsupportedVersion)
	}
	return min(has.max, most), nil
}

// negotiate asks the broker for its versions: as version 3 (Kafka 2.4), and
// again as version 0 if the broker doesn't know that (KIP-511).
func (w *conn) negotiate(deadline time.Time) error {
	resp, err := w.apiVersions(highest(int16(kmsg.ApiVersions)), deadline)
	if err == nil && Error(resp.ErrorCode) == unsupportedVersion {
		resp, err = w.apiVersions(0, deadline)
	}
	if err == nil {
		err = codeError(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("asking for the versions that the broker speaks: %w", err)
	}
	versions := make(map[int16]versionRange, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		versions[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	w.link.versions = versions
	return nil
}

func (w *conn) apiVersions(version int16, deadline time.Time) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "eventbus-go", "v1"
	req.SetVersion(version)
	frame := takeFrame()
	defer giveFrame(frame)
	frame.bytes = w.link.client.format.AppendRequest(frame.bytes[:0], req, 0)
	// The header of this response never has tagged fields, so that any client
	// can read it.
	body, err := w.await(frame.bytes, nil, false, deadline, newBody)
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(version)
	// A broker that doesn't know the version says so in version 0.
	if len(body) >= 2 && Error(int16(body[0])<<8|int16(body[1])) == unsupportedVersion {
		resp.SetVersion(0)
	}
	return resp, resp.ReadFrom(body)
}
