package handshake

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// readAnswer reads the answer to the open request and returns it in a form that is safe for
// kafka-go.
func (c *Conn) readAnswer() ([]byte, error) {
	open := c.open
	c.open, c.asked = request{}, open.key
	limit := maxSetup
	switch {
	case open.kind == none:
		return nil, c.unasked()
	case open.kind == plain && open.key == kmsg.Metadata:
		limit = maxMetadata
	}
	var head [4]byte
	if n, err := io.ReadFull(c.Conn, head[:]); err != nil {
		if n > 0 {
			return nil, foreign(head[:n], err)
		}
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:])))
	if size < 0 || size > int64(limit) {
		return nil, foreign(head[:], fmt.Errorf("it announces an answer of %d bytes to %s, beyond the bound of %d", size, open, limit))
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.Conn, body); err != nil {
		return nil, err
	}
	if open.kind == token {
		return frame(nil, body), nil
	}
	if len(body) < 4 {
		return nil, foreign(head[:], fmt.Errorf("its answer to %s ends within its header", open))
	}
	if id := int32(binary.BigEndian.Uint32(body)); id != open.correlation {
		return nil, foreign(head[:], fmt.Errorf("it answered request %d with the answer to %d", open.correlation, id))
	}
	checked, err := c.check(open, body[4:])
	if err != nil {
		return nil, foreign(head[:], fmt.Errorf("its answer to %s is malformed: %w", open, err))
	}
	return frame(body[:4], checked), nil
}

// unasked waits for a server that has nothing to answer: it either closes the connection or
// breaks the protocol.
func (c *Conn) unasked() error {
	var b [1]byte
	if _, err := c.Conn.Read(b[:]); err != nil {
		return err
	}
	return foreign(b[:], fmt.Errorf("it sends what nobody asked for"))
}

// check decodes body and encodes it again in the same version, without anything that kafka-go
// does not need.
func (c *Conn) check(open request, body []byte) ([]byte, error) {
	switch open.key {
	case kmsg.ApiVersions:
		return c.apiVersions(open, body)
	case kmsg.SASLHandshake:
		return c.saslHandshake(open, body)
	case kmsg.SASLAuthenticate:
		return c.saslAuthenticate(open, body)
	case kmsg.Metadata:
		return c.metadata(open, body)
	}
	return nil, fmt.Errorf("%s is not sent while a connection is set up", open)
}

// apiVersions checks the versions that the broker supports. kafka-go picks its own from them.
func (c *Conn) apiVersions(open request, body []byte) ([]byte, error) {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(open.version)
	if err := counted(body, 2, 6); err != nil {
		return nil, err
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	return resp.AppendTo(nil), nil
}

// saslHandshake checks whether the broker accepts the mechanism, and if not remembers the ones
// that it offers: kafka-go keeps only the code.
func (c *Conn) saslHandshake(open request, body []byte) ([]byte, error) {
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.SetVersion(open.version)
	if err := counted(body, 2, 2); err != nil {
		return nil, err
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	c.raw = open.version == 0 && resp.ErrorCode == 0
	c.refused, c.offered = resp.ErrorCode != 0, nil
	for _, m := range resp.SupportedMechanisms[:min(len(resp.SupportedMechanisms), maxOffered)] {
		c.offered = append(c.offered, mechanismName(m))
	}
	return resp.AppendTo(nil), nil
}

// maxOffered bounds how many of a broker's mechanisms are remembered.
const maxOffered = 10

// mechanismName returns the longest prefix of m that can be the name of a SASL mechanism: at
// most 20 capital letters, digits, hyphens and underscores (RFC 4422, section 3.1).
func mechanismName(m string) string {
	end := strings.IndexFunc(m, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if end < 0 {
		end = len(m)
	}
	return m[:min(end, 20)]
}

// saslAuthenticate checks the frame of a broker's token, and remembers how long the session
// lasts. The mechanism checks the token's content.
func (c *Conn) saslAuthenticate(open request, body []byte) ([]byte, error) {
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.SetVersion(open.version)
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	if ms := resp.SessionLifetimeMillis; ms > 0 && ms < int64(maxSession/time.Millisecond) {
		c.session = time.Duration(ms) * time.Millisecond
	}
	return resp.AppendTo(nil), nil
}

// maxSession is how long a session may last before its end no longer matters.
const maxSession = 365 * 24 * time.Hour

// metadata drops the topics: kafka-go asks for none.
func (c *Conn) metadata(open request, body []byte) ([]byte, error) {
	resp := kmsg.NewPtrMetadataResponse()
	resp.SetVersion(open.version)
	at := 0
	if open.version >= 3 {
		at = 4 // the throttle time
	}
	if err := counted(body, at, 10); err != nil {
		return nil, err
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	resp.Topics = nil
	return resp.AppendTo(nil), nil
}

// counted checks the array length at body[at:] against the rest of body, given the least
// number of bytes that an element takes.
func counted(body []byte, at, least int) error {
	if len(body) < at+4 {
		return io.ErrUnexpectedEOF
	}
	if n := int64(int32(binary.BigEndian.Uint32(body[at:]))); n*int64(least) > int64(len(body)-at-4) {
		return fmt.Errorf("an array of %d elements in %d bytes", n, len(body))
	}
	return nil
}

// frame returns header and body, preceded by their size.
func frame(header, body []byte) []byte {
	b := make([]byte, 0, 4+len(header)+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)+len(body)))
	return append(append(b, header...), body...)
}

// String names the request for an error.
func (r request) String() string {
	switch {
	case r.kind == token:
		return "a SASL token"
	case r.key.Name() == "":
		return fmt.Sprintf("request %d", r.key)
	}
	return r.key.Name()
}
