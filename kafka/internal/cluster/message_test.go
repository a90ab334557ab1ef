package cluster

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEveryMessageHasItsFunctions: every request that the kafka packages make is named
// in message.go, with its response, or sent by Rare. Otherwise it would fail only when
// it is sent.
func TestEveryMessageHasItsFunctions(t *testing.T) {
	message, err := os.ReadFile("message.go")
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`kmsg\.(?:NewPtr|New|)([A-Z]\w*)Request(?:\(\)|\{)`)
	found := 0
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/bed") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range made.FindAllSubmatch(text, -1) {
			name := string(m[1])
			found++
			named := bytes.Contains(message, []byte("*kmsg."+name+"Request:")) && (name == "ApiVersions" || bytes.Contains(message, []byte("*kmsg."+name+"Response:")))
			if !named && !bytes.Contains(text, []byte("(*kmsg."+name+"Response).ReadFrom")) && name != "Produce" {
				t.Errorf("%s makes a %sRequest: name it in message.go, or send it by Rare", path, name)
			}
		}
		return err
	})
	if err != nil || found < 20 {
		t.Errorf("%d requests found: %v", found, err)
	}
}

// TestRequestsAreWrittenAsKmsgDoes compares headers and bodies with those that kmsg
// writes, in the first and the last version.
func TestRequestsAreWrittenAsKmsgDoes(t *testing.T) {
	for key := range kmsg.MaxKey {
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		for _, version := range []int16{0, req.MaxVersion()} {
			req.SetVersion(version)
			got, err := appendRequest(nil, req, "me")
			if err != nil {
				continue // not a request of ours, which the other test checks
			}
			want := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, req, 0)
			if !bytes.Equal(got, want) {
				t.Errorf("%s, version %d: %x, want %x", kmsg.NameForKey(int16(key)), version, got, want)
			}
			named, err := appendRequest(nil, Named{Request: req, ClientID: "other"}, "me")
			if err != nil || !bytes.Contains(named, []byte("other")) {
				t.Errorf("%s of another client id: %x, %v", kmsg.NameForKey(int16(key)), named, err)
			}
		}
	}
	if _, err := appendRequest(nil, kmsg.NewPtrElectLeadersRequest(), "me"); err == nil {
		t.Error("a request without a function is written")
	}
}
