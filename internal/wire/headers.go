package wire

import "github.com/eventbus-go/eventbus/transport"

// plainHeaders gathers the headers of a record that are no attribute, by index.
type plainHeaders struct {
	n, first, last int
}

func (p *plainHeaders) add(i int) {
	if p.n == 0 {
		p.first = i
	}
	p.last = i
	p.n++
}

// of returns the headers. They stand together in what most producers write, and
// are then a part of rec's slice, with no room to append into it.
func (p *plainHeaders) of(rec *transport.Record) []transport.Header {
	if p.n == 0 {
		return nil
	}
	span := rec.Headers[p.first : p.last+1 : p.last+1]
	if len(span) == p.n {
		return span
	}
	headers := make([]transport.Header, 0, p.n)
	for _, h := range span {
		if !Owned(h.Key) {
			headers = append(headers, h)
		}
	}
	return headers
}

func allPlainHeaders(rec *transport.Record) []transport.Header {
	var p plainHeaders
	for i := range rec.Headers {
		if !Owned(rec.Headers[i].Key) {
			p.add(i)
		}
	}
	return p.of(rec)
}
