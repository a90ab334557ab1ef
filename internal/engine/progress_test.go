package engine

import (
	"encoding/base64"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

func assignmentOf(p *progress, metadata string) *transport.Assignment {
	return &transport.Assignment{Offset: p.base, Metadata: metadata, LeaderEpoch: p.epoch, TopicID: p.topic, ClusterID: p.cluster}
}

// randomProgress returns progress of the shapes that occur: holes, scattered
// records, and both.
func randomProgress(rng *rand.Rand) *progress {
	p := &progress{cluster: "c", topic: transport.TopicID{byte(rng.IntN(256))}, base: rng.Int64N(1 << 40), epoch: int32(rng.IntN(100) - 1)}
	if rng.IntN(20) == 0 {
		p.base = math.MaxInt64 - 1<<40
	}
	for n := rng.IntN(4); n > 0; n-- {
		long := int64(1) << rng.IntN(30)
		for range rng.IntN(1 << rng.IntN(13)) {
			p.runs = append(p.runs, 1+rng.Int64N(long), 1+rng.Int64N(long))
		}
	}
	offset := p.base
	for range rng.IntN(80) {
		offset += 1 + rng.Int64N(1000)
		p.spent = append(p.spent, budget{
			offset: offset, attempts: 1 + rng.IntN(9), first: time.Unix(1_700_000_000+rng.Int64N(1000), 0), used: -time.Second,
		})
	}
	return p
}

func TestProgressRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	full := 0
	for i := range 4000 {
		p := randomProgress(rng)
		limit := maxMetadata
		if rng.IntN(3) == 0 {
			limit = rng.IntN(maxMetadata)
		}
		metadata, complete := p.encode(limit)
		if len(metadata) > limit {
			t.Fatalf("progress %d: %d characters, %d allowed", i, len(metadata), limit)
		}
		if !complete {
			full++
		}
		if metadata == "" {
			if complete && len(p.runs) > 0 {
				t.Fatalf("progress %d: complete, and nothing written", i)
			}
			continue
		}
		got, err := decodeProgress(assignmentOf(p, metadata))
		if err != nil {
			t.Fatalf("progress %d: %v", i, err)
		}
		checkSpans(t, i, p.spans(), got.spans(), complete)
		for j, b := range got.spent {
			if b != p.spent[j] {
				t.Fatalf("progress %d: budget %+v became %+v", i, p.spent[j], b)
			}
		}
		if len(got.spent) != min(len(p.spent), maxSpent) {
			t.Fatalf("progress %d: %d budgets of %d", i, len(got.spent), len(p.spent))
		}
	}
	if full == 0 || full == 4000 {
		t.Errorf("%d of 4000 were not complete: the shapes test little", full)
	}
}

// checkSpans checks that got is want, or, unless complete, a part of its beginning:
// never an unfinished offset.
func checkSpans(t *testing.T, i int, want, got []span, complete bool) {
	t.Helper()
	want, got = merged(want), merged(got)
	for j, s := range got {
		last := j == len(got)-1
		if j >= len(want) || s.from != want[j].from || s.to > want[j].to || s.to < want[j].to && !(last && !complete) {
			t.Fatalf("progress %d, span %d: %v, want of %v", i, j, s, want[min(j, len(want)-1)])
		}
	}
	if complete && len(got) != len(want) {
		t.Fatalf("progress %d: %d spans of %d, though complete", i, len(got), len(want))
	}
}

func merged(spans []span) (out []span) {
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].to == s.from {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

// A record that never ends holds the watermark, and millions finish behind it, the
// last of them out of order: their progress still fits.
func TestProgressBehindAHole(t *testing.T) {
	p := &progress{runs: []int64{1, 5_000_000}}
	for range 6000 {
		p.runs = append(p.runs, 1, 1)
	}
	metadata, complete := p.encode(maxMetadata)
	if !complete {
		t.Fatal("not complete")
	}
	got, err := decodeProgress(assignmentOf(p, metadata))
	if err != nil {
		t.Fatal(err)
	}
	checkSpans(t, 0, p.spans(), got.spans(), true)
}

func TestProgressWithoutNewsIsEmpty(t *testing.T) {
	if metadata, complete := (&progress{base: 7}).encode(maxMetadata); metadata != "" || !complete {
		t.Errorf("%q, %v", metadata, complete)
	}
}

// FuzzDecodeProgress decodes metadata that anybody may have committed. What it
// accepts is in order and within the log.
func FuzzDecodeProgress(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		p := randomProgress(rng)
		metadata, _ := p.encode(maxMetadata)
		f.Add(metadata, p.base, p.epoch, p.topic[0])
	}
	f.Add("", int64(0), int32(-1), byte(0))
	f.Add(progressPrefix, int64(0), int32(-1), byte(0))
	f.Add(progressPrefix+strings.Repeat("/", 4000), int64(0), int32(-1), byte(0))
	f.Add("someone's", int64(0), int32(-1), byte(0))
	f.Fuzz(func(t *testing.T, metadata string, base int64, epoch int32, topic byte) {
		a := &transport.Assignment{Offset: base, Metadata: metadata, LeaderEpoch: epoch, TopicID: transport.TopicID{topic}, ClusterID: "c"}
		checkDecoded(t, a)
		// The same with a valid checksum, so that the rest is decoded.
		a.Metadata = resealed(metadata, a)
		checkDecoded(t, a)
	})
}

func checkDecoded(t *testing.T, a *transport.Assignment) {
	t.Helper()
	p, err := decodeProgress(a)
	if err != nil || p == nil {
		return
	}
	if len(p.runs) > 8*maxMetadata || len(p.spent) > maxBudgets {
		t.Fatalf("%d runs, %d budgets of %d characters", len(p.runs), len(p.spent), len(a.Metadata))
	}
	at := a.Offset
	for _, s := range p.spans() {
		if s.from < at || s.to <= s.from {
			t.Fatalf("span %v after %d", s, at)
		}
		at = s.to
	}
	for _, b := range p.spent {
		if b.offset < a.Offset || b.attempts < 0 || b.used < -time.Second || len(b.decided) > maxReason {
			t.Fatalf("budget %+v", b)
		}
	}
	kept := 0
	for _, s := range p.unknown {
		kept += len(s.body)
	}
	if kept > 8*maxBudgets {
		t.Fatalf("%d bytes of sections kept", kept)
	}
}

// unsealed returns the bytes of metadata, without their checksum.
func unsealed(t *testing.T, metadata string) []byte {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(metadata, progressPrefix))
	if err != nil {
		t.Fatal(err)
	}
	return raw[:len(raw)-checksumSize]
}

// resealed returns metadata with the given body and a valid checksum.
func resealed(body string, a *transport.Assignment) string {
	p := &progress{cluster: a.ClusterID, topic: a.TopicID, base: a.Offset, epoch: a.LeaderEpoch}
	head := p.appendHead(nil)
	return seal(append(head[:len(head)-1], body[:min(len(body), 2500)]...))
}

func TestProgressOverflowIsRefused(t *testing.T) {
	for _, runs := range [][]int64{{math.MaxInt64, 1}, {1, math.MaxInt64}, {math.MaxInt64 - 1, 1, 1, math.MaxInt64}} {
		p := &progress{cluster: "c", base: 5, epoch: -1}
		raw := append(p.appendHead(nil), byte(len(runs)/2))
		for _, n := range runs {
			for ; n >= 0x80; n >>= 7 {
				raw = append(raw, byte(n)|0x80)
			}
			raw = append(raw, byte(n))
		}
		if got, err := decodeProgress(assignmentOf(p, seal(raw))); err == nil {
			t.Errorf("%v gave %v", runs, got.spans())
		}
	}
}
