package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// earlierCommit is the version of this library that shares groups with the
// present one.
const earlierCommit = "b7bf3bc"

// earlierChanges is what its campaign lacks: the choice of a group protocol, and
// the ledger's line for an event that came back. Nothing of the library is
// changed.
//
//go:embed testdata/b7bf3bc.diff
var earlierChanges string

// mixedVersions upgrades a group of members of the earlier version one by one
// and downgrades it again. Events of a key in a hundred fail at every attempt,
// with waits so long that members hand them over between two attempts.
// Afterwards the tool of each version brings half of the dead letters back, into
// a group in which both versions are members.
func mixedVersions(name, protocol string) scenario {
	return scenario{
		name:    "mixed versions " + name,
		about:   "members of commit " + earlierCommit + " and of this one in one group, upgraded and downgraded one by one (" + name + ")",
		quick:   protocol == cooperative,
		earlier: true,
		clean:   true,
		load:    load{Events: 40_000, Rate: 1000},
		crew:    crew{Processes: 3, Buses: 3, Poison: 100, Protocol: protocol, Backoff: 300 * time.Millisecond},
		plan: func(p *plan) {
			at := 4 * time.Second
			move := func(v verb, members ...int) {
				for _, m := range members {
					p.add(at, v, m, 0)
					at += sized(p.quick, 3*time.Second, 4*time.Second)
				}
			}
			order := p.Perm(3)
			move(upgradeMember, order...)
			if !p.quick {
				move(downgradeMember, order...)
				move(upgradeMember, order[1])
				return
			}
			move(downgradeMember, order[0])
		},
		// An eager rebalance waits for the handlers of all members.
		stall: func([]action) time.Duration { return 10 * time.Second },
		after: bringBack,
		judge: crossed,
	}
}

// errUnreachable means that the repository does not have the earlier version.
var errUnreachable = errors.New("the history of this clone does not reach commit " + earlierCommit + ": clone without --depth, or git fetch --unshallow")

// earlier has the paths of the earlier version's programs, which are kept for the next
// campaign.
type earlier struct {
	// chaos is its campaign, whose processes take the same tasks, and tool its
	// command.
	chaos, tool string
}

// buildEarlier builds the earlier version from the history of the repository, or
// returns what an earlier call has built. The error is errUnreachable in a clone
// that does not go back that far.
func buildEarlier(ctx context.Context, root string) (*earlier, error) {
	sum := sha256.Sum256([]byte(earlierChanges))
	dir, err := filepath.Abs(filepath.Join(root, ".cache", "earlier", earlierCommit+"-"+hex.EncodeToString(sum[:4])))
	if err != nil {
		return nil, err
	}
	e := &earlier{chaos: filepath.Join(dir, "chaos"), tool: filepath.Join(dir, "eventbus")}
	// The directory appears when a build is complete.
	if _, err := os.Stat(dir); err == nil {
		return e, nil
	}
	if err := exec.CommandContext(ctx, "git", "-C", root, "cat-file", "-e", earlierCommit+"^{commit}").Run(); err != nil {
		return nil, errUnreachable
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return nil, err
	}
	// Rename it when complete, so that an interrupted build is never used.
	part, err := os.MkdirTemp(filepath.Dir(dir), "part-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(part)
	source := filepath.Join(part, "source")
	if err := os.Mkdir(source, 0o750); err != nil {
		return nil, err
	}
	const script = `git -C "$1" archive "$2" | tar -x -C "$3" && cd "$3" && git apply - && go build -o "$4" ./chaos ./cmd/eventbus`
	build := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script, "build", root, earlierCommit, source, part+string(filepath.Separator))
	build.Stdin = strings.NewReader(earlierChanges)
	// Without this, git would apply the changes to an enclosing repository.
	build.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+part)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building commit %s: %w: %s", earlierCommit, err, out)
	}
	if err := os.RemoveAll(source); err != nil {
		return nil, err
	}
	return e, os.Rename(part, dir)
}

// changeVersion replaces a member process by one of the newer version, or of the
// older one, and waits until the group is complete again, as a rolling
// deployment does.
func (t *stage) changeVersion(ctx context.Context, member int, upgraded bool) error {
	t.mu.Lock()
	// startMember reads it.
	t.upgraded[member] = upgraded
	t.mu.Unlock()
	// Start it again in any case: with a member missing, everything after this would fail.
	if err := errors.Join(t.endMember(member, syscall.SIGTERM), t.startMember(member)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.cluster.Stable(ctx, t.topic.group(), t.topic.topic(), t.topic.Partitions, len(t.slots))
}

// bringBack brings the dead letters back, half of their keys with the tool of
// the earlier version and the rest with the present one's, and waits until the
// group has handled them.
func bringBack(ctx context.Context, t *stage) error {
	tool := filepath.Join(t.dir, "eventbus")
	build := exec.CommandContext(ctx, "go", "-C", filepath.Join(t.root, "cmd", "eventbus"), "build", "-o", tool, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the tool: %w: %s", err, out)
	}
	letters, err := readLetters(ctx, t.cluster, t.topic.letters(), letterPartitions)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		return errors.New("there are no dead letters to bring back")
	}
	replay := func(tool string, args ...string) error {
		command := exec.CommandContext(ctx, tool, append([]string{
			"dlq", "replay", t.topic.letters(), "--yes", "--environment", environment, "--brokers", strings.Join(t.cluster.Addresses(), ","),
		}, args...)...)
		out, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
		t.say("%s", strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
		return nil
	}
	var half []string
	// Half of the keys that fail.
	for key := uint32(0); int(key) < t.scenario.load.Keys; key += 2 * t.scenario.crew.Poison {
		half = append(half, "--key", keyText(key))
	}
	// Use no filter with the present tool: it must know what the earlier one did.
	if err := errors.Join(replay(t.earlier.tool, half...), replay(tool)); err != nil {
		return err
	}
	// Run the earlier one once more. It can't read the present one's decisions, so it must
	// refuse, and bring nothing back a second time, which crossed checks.
	if err := replay(t.earlier.tool); err == nil {
		return errors.New("the earlier tool takes decisions that it can't read for none")
	}
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	for {
		entries, err := readLedger(t.ledger())
		if err != nil {
			return err
		}
		back := broughtBack(entries)
		if len(back) >= len(letters) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d dead letters came back: %w", len(back), len(letters), ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// broughtBack counts how often each dead letter came back, by the position of the record
// that it was made from.
func broughtBack(entries []entry) map[place]int {
	back := make(map[place]int)
	for i := range entries {
		if e := &entries[i]; e.deed == redelivered {
			back[place{e.partition, e.offset}]++
		}
	}
	return back
}

// crossed checks what versions hand over besides progress: an event gets no more attempts
// than the policy allows, over all its owners, and a dead letter comes back once.
func crossed(t *stage, e *evidence) (wrong []string) {
	// Failed attempts of all owners together count against one policy.
	attempts, owners := make(map[place]int), make(map[place]map[uint16]bool)
	for i := range e.entries {
		if line := &e.entries[i]; line.deed == failed {
			at := place{line.partition, line.offset}
			attempts[at]++
			if owners[at] == nil {
				owners[at] = make(map[uint16]bool)
			}
			owners[at][line.owner] = true
		}
	}
	overspent, most, handedOn := 0, 0, 0
	for _, o := range owners {
		handedOn += min(len(o)-1, 1)
	}
	for _, n := range attempts {
		if most = max(most, n); n > handlerAttempts {
			overspent++
		}
	}
	back, repeated := broughtBack(e.entries), 0
	for at, n := range back {
		if n > 1 || e.dead[at] == 0 {
			repeated++
		}
	}
	t.say("%d events failed, %d of them in the hands of more than one owner, with %d attempts at most; %d of %d dead letters came back", len(attempts), handedOn, most, len(back), len(e.dead))
	if overspent > 0 {
		wrong = append(wrong, fmt.Sprintf("%d events had up to %d attempts, more than the %d of their policy", overspent, most, handlerAttempts))
	}
	if repeated > 0 {
		wrong = append(wrong, fmt.Sprintf("%d dead letters came back more than once, or were none", repeated))
	}
	return wrong
}
