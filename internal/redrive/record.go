package redrive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus/transport"
)

// The records of Topic. The key says what a record is about, so that compaction
// keeps the last one about it; names of topics have no slash. A record without a
// value removes the one before.
//
//	partition/TOPIC/N    JSON: the base and the counts of a ledger
//	page/TOPIC/N/PAGE    the version, the topic's id, and the states of 1,024 letters
//	job/TOPIC/ID         JSON: a Job
//	fence/TOPIC          JSON: the process that was the last to claim the box
//
// Every value has the version of its form. A value with another version, or with
// members that this one does not know, is refused: ignoring a condition of a filter
// would choose letters that nobody meant.
const (
	version = 1

	kindPartition = "partition"
	kindPage      = "page"
	kindJob       = "job"
	kindFence     = "fence"
)

// maxJobBytes bounds a job as it is stored.
const maxJobBytes = 256 << 10

// errNewer is the error of a record that a newer version of this package wrote.
var errNewer = errors.New("it was written by a newer version: update this one")

// place is a parsed key of Topic.
type place struct {
	kind, topic string
	partition   int32  // of a partition or a page
	page        int64  // of a page
	job         string // of a job
}

// key returns the key of a place. Different places have different keys.
func (k place) key() []byte {
	switch k.kind {
	case kindPartition:
		return fmt.Appendf(nil, "%s/%s/%d", k.kind, k.topic, k.partition)
	case kindPage:
		return fmt.Appendf(nil, "%s/%s/%d/%d", k.kind, k.topic, k.partition, k.page)
	case kindJob:
		return fmt.Appendf(nil, "%s/%s/%s", k.kind, k.topic, k.job)
	}
	return fmt.Appendf(nil, "%s/%s", k.kind, k.topic)
}

// maxKey bounds a key: the name of a topic has at most 249 characters.
const maxKey = 400

// jobID matches the ids of jobs, which people type.
var jobID = regexp.MustCompile(`^[0-9a-f]{8}$`)

// parseKey parses a key. It returns false for a key that this package never writes.
func parseKey(key []byte) (k place, ok bool) {
	if len(key) > maxKey {
		return k, false
	}
	parts := strings.Split(string(key), "/")
	if len(parts) < 2 || !mayBeBox(parts[1]) {
		return k, false
	}
	k = place{kind: parts[0], topic: parts[1]}
	switch {
	case k.kind == kindFence && len(parts) == 2:
	case k.kind == kindJob && len(parts) == 3 && jobID.MatchString(parts[2]):
		k.job = parts[2]
	case k.kind == kindPartition && len(parts) == 3, k.kind == kindPage && len(parts) == 4:
		n, err := strconv.ParseInt(parts[2], 10, 32)
		k.partition = int32(n) //nolint:gosec // parsed as one
		if k.kind == kindPage && err == nil {
			k.page, err = strconv.ParseInt(parts[3], 10, 64)
		}
		// Compare the key with the one that would be written: to compaction, 007
		// and 7 are different keys.
		if err != nil || k.partition < 0 || k.page < 0 || k.page > 1<<52 || !bytes.Equal(k.key(), key) {
			return k, false
		}
	default:
		return k, false
	}
	return k, true
}

// partitionRecord is the value of a partition. The version is read by unpack.
type partitionRecord struct {
	V int `json:"v"`
	// Topic is the id of the dead-letter topic, in hexadecimal: one that is deleted
	// and created again has other letters at the same offsets.
	Topic    string `json:"topic"`
	Base     int64  `json:"base"`
	Replayed int64  `json:"replayed"`
	Skipped  int64  `json:"skipped"`
}

// fenceRecord is the value of a fence. Nonce is random, so that a process knows
// its own.
type fenceRecord struct {
	V      int    `json:"v"`
	Holder Holder `json:"holder"`
	Nonce  string `json:"nonce"`
}

// jobRecord is the value of a job.
type jobRecord struct {
	V int `json:"v"`
	Job
}

// unpack reads a JSON value. It checks the version before anything else.
func unpack(raw []byte, into any) error {
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(raw, &head); err != nil || head.V < 1 {
		return errors.New("it is damaged")
	}
	if head.V != version {
		return errNewer
	}
	// Unknown members come from a newer version, and may matter.
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		// The error may quote the value, which may be anything.
		return errors.New("it is damaged, or was written by a newer version")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is damaged")
	}
	return nil
}

// unpackPage reads the value of a page.
func unpackPage(raw []byte) (id transport.TopicID, p *page, err error) {
	switch {
	case len(raw) > 0 && raw[0] > version:
		return id, nil, errNewer
	case len(raw) != 1+len(id)+len(p) || raw[0] != version:
		// Any state of any letter is possible, so there is nothing else to check.
		return id, nil, errors.New("it is damaged")
	}
	p = new(page)
	copy(id[:], raw[1:])
	copy(p[:], raw[1+len(id):])
	return id, p, nil
}

// packPage returns the value of a page of the dead-letter topic with an id.
func packPage(id transport.TopicID, p *page) []byte {
	raw := append(make([]byte, 0, 1+len(id)+len(p)), version)
	return append(append(raw, id[:]...), p[:]...)
}

// unpackJob reads the value of a job, whose order must be valid.
func unpackJob(raw []byte, at place) (*Job, error) {
	if len(raw) > maxJobBytes {
		return nil, fmt.Errorf("it has %d bytes", len(raw))
	}
	var r jobRecord
	if err := unpack(raw, &r); err != nil {
		return nil, err
	}
	j := &r.Job
	switch err := j.Order.Validate(); {
	case j.ID != at.job || j.Topic != at.topic || j.Action == "":
		return nil, errors.New("it is another job than its key says")
	case err != nil:
		return nil, errors.New("nobody could have ordered it")
	}
	switch j.State {
	case Waiting, Running, Stopped, Failed, Done:
	default:
		return nil, errors.New("it has no state")
	}
	// Validate has checked who and why. These texts are shown too.
	for _, text := range []string{j.By, j.Reason, j.Error, j.Holder.Who, j.Holder.Process} {
		if len(text) > maxText {
			return nil, errors.New("a text of it is too long")
		}
	}
	return j, nil
}

// pack returns the record of a value, encoded as JSON. A nil value removes what was
// stored.
func pack(at place, value any) (transport.Record, error) {
	r := transport.Record{Topic: Topic, Key: at.key()}
	// Compaction removes a key without a value, once no reader can need it.
	if value == nil {
		return r, nil
	}
	raw, err := json.Marshal(value)
	if err == nil && len(raw) > maxJobBytes {
		err = fmt.Errorf("it takes %d bytes, more than %d: choose the letters by fewer values", len(raw), maxJobBytes)
	}
	if err != nil {
		return r, fmt.Errorf("storing %s of %s: %w", cmp.Or(at.job, at.kind), at.topic, err)
	}
	r.Value = raw
	return r, nil
}
