package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// state identifies a run that continues a stopped one: both must have these in
// common. It is kept in run.json, beside the ledgers.
type state struct {
	// Environment is new for each run, so that runs on one cluster do not see
	// each other's events.
	Environment string `json:"environment"`
	// Source is the source's identity, Cluster the cluster's id.
	Source  string `json:"source"`
	Cluster string `json:"cluster"`
}

// embeddedDirectory is where the embedded broker keeps its log, within the
// directory of the state: the ledgers are worth nothing without that log.
const embeddedDirectory = "broker"

// openState reads the state in dir, or returns a new one. Without dir nothing
// is kept.
func openState(dir string, src *source) (*state, error) {
	fresh := &state{Environment: newEnvironment(), Source: src.identity()}
	if dir == "" {
		return fresh, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "run.json"))
	// It is written by bind, once the cluster is known.
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("--state: run.json: %w", err)
	}
	// The ledgers name rows: of another source they would skip the wrong ones.
	if s.Source != fresh.Source {
		return nil, fmt.Errorf("--state: %s has a run over other flights: repeat its --file and --month, or name another directory", dir)
	}
	return &s, nil
}

// bind checks that the state belongs to this cluster, and writes it down.
func (s *state) bind(dir, cluster string) error {
	if s.Cluster != "" && s.Cluster != cluster {
		return fmt.Errorf("--state: %s has a run on another cluster: repeat its --brokers, or name another directory", dir)
	}
	s.Cluster = cluster
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	// Written beside and then renamed: a crash leaves either all of it or
	// nothing.
	name := filepath.Join(dir, "run.json")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return os.Rename(name+".new", name)
}

// newEnvironment returns a name that no other run has, most likely.
func newEnvironment() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return "demo-" + hex.EncodeToString(b[:])
}
