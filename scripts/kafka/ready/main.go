// Command ready waits until Kafka brokers serve: each address given answers a
// Metadata request and names every one of the addresses in its answer, so that
// all are registered with the controller and know of each other.
//
//	go run ./scripts/kafka/ready -timeout 60s 127.0.0.1:19092 127.0.0.1:19093
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
)

func main() {
	timeout := flag.Duration("timeout", 60*time.Second, "how long to wait")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "ready: name at least one broker as host:port")
		os.Exit(2)
	}
	deadline := time.Now().Add(*timeout)
	for {
		err := serving(flag.Args())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "ready: not within %s: %v\n", *timeout, err)
			os.Exit(1)
		}
		// Nothing signals that a broker came up: ask again.
		time.Sleep(100 * time.Millisecond)
	}
}

// serving asks every address once.
func serving(addresses []string) error {
	for _, address := range addresses {
		known, err := brokers(address)
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		for _, other := range addresses {
			if !slices.Contains(known, other) {
				return fmt.Errorf("%s knows of the brokers %v, not of %s", address, known, other)
			}
		}
	}
	return nil
}

// brokers returns the addresses in the answer to Metadata v1, which every Kafka
// from 0.10 to 4.x understands.
func brokers(address string) ([]string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	request := []byte{
		0, 0, 0, 14, // size of what follows
		0, 3, 0, 1, // Metadata, version 1
		0, 0, 0, 1, // correlation id
		255, 255, // no client id
		0, 0, 0, 0, // no topics
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	r := reader{left: body}
	r.int32() // correlation id
	var known []string
	for range r.int32() {
		r.int32() // node id
		host := r.string()
		port := r.int32()
		r.string() // rack
		if r.short {
			return nil, errors.New("the answer is not a Metadata response")
		}
		known = append(known, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	return known, nil
}

// reader takes the protocol's primitive types off a response; short is set
// once it ran out of bytes.
type reader struct {
	left  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.left) {
		r.short, r.left = true, nil
		return make([]byte, n)
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }

func (r *reader) string() string {
	n := int16(binary.BigEndian.Uint16(r.take(2)))
	return string(r.take(int(max(n, 0)))) // −1 is null
}
