package claimcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Folder is a Store in a directory, such as a network file system that all services mount. It
// is safe for concurrent use, even by several processes. Objects are named by their digests, so
// equal data is stored once.
type Folder struct{ path string }

// Dir returns the store in a directory, which Put creates if it is missing.
func Dir(path string) *Folder { return &Folder{path} }

// referenceForm matches a Folder's references. Nothing else is opened: a reference comes from
// an event, which anybody may have written.
var referenceForm = regexp.MustCompile(`^sha256/[0-9a-f]{2}/[0-9a-f]{64}$`)

// Put implements Store. The object appears under its name once it is completely on disk.
func (f *Folder) Put(_ context.Context, digest [sha256.Size]byte, data []byte) (string, error) {
	name := hex.EncodeToString(digest[:])
	reference := "sha256/" + name[:2] + "/" + name
	to := filepath.Join(f.path, filepath.FromSlash(reference))
	now := time.Now()
	dir := filepath.Dir(to)
	// An object that was altered would be refused by every reader: it is replaced.
	if holds(to, digest, len(data)) {
		// It is used once more, so Sweep must count from now. One that has taken the name
		// away meanwhile may not have seen the new time.
		if os.Chtimes(to, now, now) == nil && exists(to) {
			// Who put it first may have yet to make its name durable.
			return reference, syncFolders(dir, filepath.Dir(dir), f.path)
		}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	// In the same directory: a rename is atomic only within a file system.
	part, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return "", err
	}
	_, err = part.Write(data)
	if err == nil {
		// Sync before the rename: after a power failure the name must not refer to partial
		// data.
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), to)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(part.Name()))
	}
	// Make the names durable too: the event that is published next refers to one. Those of the
	// folders may also be new.
	return reference, syncFolders(dir, filepath.Dir(dir), f.path)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// holds reports whether a file has size bytes of a digest.
func holds(name string, digest [sha256.Size]byte, size int) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() != int64(size) {
		return false
	}
	sum := sha256.New()
	_, err = io.Copy(sum, io.LimitReader(file, int64(size)))
	return err == nil && bytes.Equal(sum.Sum(nil), digest[:])
}

// syncFolders makes the names in folders durable, where that can be asked for: Windows opens
// no folder, some network file systems sync none, and who may write to one need not be allowed
// to read it.
func syncFolders(names ...string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	for _, name := range names {
		folder, err := os.Open(name)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return err
		}
		err = folder.Sync()
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
			err = nil
		}
		if err := errors.Join(err, folder.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Get implements Store.
func (f *Folder) Get(_ context.Context, reference string, most int) ([]byte, error) {
	if !referenceForm.MatchString(reference) {
		return nil, fmt.Errorf("%w: the reference is not one of a folder", ErrMissing)
	}
	name := filepath.Join(f.path, filepath.FromSlash(reference))
	var file *os.File
	var err error
	// Sweep takes an object's name away, and may give it back.
	for _, at := range []string{name, name + sweptSuffix, name} {
		if file, err = os.Open(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		// Distinguish a missing object from a file system that is not mounted and may come
		// back: its mount point exists and is empty meanwhile.
		if _, err := os.Stat(filepath.Join(f.path, "sha256")); err != nil {
			return nil, err
		}
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// One byte more shows the caller that the object is too large.
	return io.ReadAll(io.LimitReader(file, int64(most)+1))
}

// Sweep removes objects that were put longer ago than age, and returns how many. age must
// exceed the longest time that an event may be needed: the retention of the topics and of their
// dead letters. The error names objects that could not be removed.
func (f *Folder) Sweep(ctx context.Context, age time.Duration) (removed int, err error) {
	if age <= 0 {
		return 0, errors.New("claimcheck: Sweep needs an age above zero: every object may be in use")
	}
	before := time.Now().Add(-age)
	var failed []error
	err = filepath.WalkDir(filepath.Join(f.path, "sha256"), func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was put yet, or another sweep was faster
		}
		if err != nil {
			failed = append(failed, err)
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		gone, err := sweep(path, before)
		if err != nil {
			failed = append(failed, err)
		}
		if gone {
			removed++
		}
		return nil
	})
	if err = errors.Join(append(failed, err)...); err != nil {
		err = fmt.Errorf("claimcheck: sweep: %w", err)
	}
	return removed, err
}

// sweptSuffix ends the name of an object that is about to be removed.
const sweptSuffix = ".swept"

// sweep removes an object that was put before a time, and reports whether it did. It takes
// the name away before it looks again: a Put has then either renewed the object, which keeps
// it, or does not find it and puts it once more.
func sweep(path string, before time.Time) (removed bool, err error) {
	name, swept := strings.CutSuffix(path, sweptSuffix) // by a sweep that did not end
	if !swept {
		if !putBefore(path, before) {
			return false, nil
		}
		err = os.Rename(name, name+sweptSuffix)
	}
	if err == nil {
		removed, err = finishSweep(name, before)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // another sweep was faster
	}
	return removed, err
}

// finishSweep removes an object whose name was taken away, or gives the name back. An object
// that was put under the name meanwhile counts from then on, so it is not replaced.
func finishSweep(name string, before time.Time) (removed bool, err error) {
	again := exists(name)
	if again || putBefore(name+sweptSuffix, before) {
		err = os.Remove(name + sweptSuffix)
		return err == nil && !again, err
	}
	return false, os.Rename(name+sweptSuffix, name)
}

// putBefore reports whether an object was put before a time.
func putBefore(name string, before time.Time) bool {
	info, err := os.Stat(name)
	return err == nil && info.ModTime().Before(before)
}
