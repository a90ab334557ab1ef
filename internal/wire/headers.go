package wire

import "github.com/eventbus-go/eventbus/transport"

// plainHeaders gathers the headers of a record that are not attributes, as
// indices, so that gathering them allocates nothing.
// n counts the headers. first and last are indices, meaningless if n is 0.
type plainHeaders struct {
	n, first, last int
}

// add adds the header at index i. Indices come in ascending order.
func (p *plainHeaders) add(i int) {
	if p.n == 0 {
		p.first = i
	}
	p.last = i
	p.n++
}

// of returns the gathered headers. Most producers write them in one stretch;
// they are then a part of rec's slice, without capacity to append into it.
// Otherwise they are copied.
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

// allPlainHeaders returns the plain headers of a record in structured mode,
// whose attributes are in its value.
func allPlainHeaders(rec *transport.Record) []transport.Header {
	var p plainHeaders
	for i := range rec.Headers {
		if !Owned(rec.Headers[i].Key) {
			p.add(i)
		}
	}
	return p.of(rec)
}
