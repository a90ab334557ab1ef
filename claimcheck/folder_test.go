package claimcheck

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestFolderThatCannotBeSynced: Put works where the file system can't sync folders.
func TestFolderThatCannotBeSynced(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it needs /proc, where folders can't be synced")
	}
	if err := syncFolders("/proc/self"); err != nil {
		t.Error(err)
	}
	if err := syncFolders(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestFolderThatCannotBeRead: Put works for a user who may write to a folder but not list it.
func TestFolderThatCannotBeRead(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("it needs a user with limited rights")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700) //nolint:errcheck,gosec // or it is not removed, which fails the test
	if _, err := Dir(dir).Put(t.Context(), sha256.Sum256(nil), nil); err != nil {
		t.Error(err)
	}
}

// TestPutAgain: the same data is stored once, and what has its name and is something else, or
// half of it, is replaced: an event that refers to it is published next. What a crash has left
// has no name that a reader opens.
func TestPutAgain(t *testing.T) {
	dir := t.TempDir()
	store, data := Dir(dir), []byte("0123456789")
	digest := sha256.Sum256(data)
	reference, err := store.Put(t.Context(), digest, data)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, filepath.FromSlash(reference))
	first, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		t.Helper()
		if again, err := store.Put(t.Context(), digest, data); err != nil || again != reference {
			t.Fatalf("%s, %v", again, err)
		}
		if got, err := store.Get(t.Context(), reference, 100); err != nil || string(got) != string(data) {
			t.Fatalf("it has %q, %v", got, err)
		}
	}
	put()
	if again, err := os.Stat(name); err != nil || !os.SameFile(first, again) {
		t.Errorf("the same data was written twice: %v", err)
	}
	for _, other := range []string{"01234", "01234?6789", "", "0123456789 and more"} {
		if err := os.WriteFile(name, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		put()
	}
	// A crash before the rename.
	part := filepath.Join(filepath.Dir(name), ".part-1")
	if err := errors.Join(os.Remove(name), os.WriteFile(part, data[:5], 0o600)); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Get(t.Context(), reference, 100); !errors.Is(err, ErrMissing) {
		t.Errorf("half an object is read as %q, %v", got, err)
	}
	put()
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 2 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

// TestSweepGivesNoOlderTimeBack: an object that was put again counts from then on, whatever a
// sweep that did not end has left of it.
func TestSweepGivesNoOlderTimeBack(t *testing.T) {
	store, data := Dir(t.TempDir()), []byte("0123456789")
	digest := sha256.Sum256(data)
	reference, err := store.Put(t.Context(), digest, data)
	if err != nil {
		t.Fatal(err)
	}
	file, past := filepath.Join(store.path, filepath.FromSlash(reference)), time.Now().Add(-2*time.Hour)
	if err := errors.Join(os.Chtimes(file, past, past), os.Rename(file, file+sweptSuffix)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), digest, data); err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{3 * time.Hour, time.Hour} {
		if removed, err := store.Sweep(t.Context(), age); removed != 0 || err != nil {
			t.Errorf("a sweep of %v: %d removed, %v", age, removed, err)
		}
	}
	if got, err := store.Get(t.Context(), reference, 100); err != nil || string(got) != string(data) {
		t.Errorf("it has %q, %v", got, err)
	}
}

// TestSweepAgainstPut: an object that is put again while a sweep is about to remove it stays,
// and can be read all the time, also if that sweep never goes on.
func TestSweepAgainstPut(t *testing.T) {
	data := []byte("0123456789")
	digest := sha256.Sum256(data)
	before, past := time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
	for name, put := range map[string]func(store *Folder, name string) error{
		"before the name is taken": func(_ *Folder, name string) error {
			// The Put has set the time of what it found, and the sweep has looked before.
			return errors.Join(os.Chtimes(name, time.Now(), time.Now()), os.Rename(name, name+sweptSuffix))
		},
		"after the name is taken": func(store *Folder, name string) error {
			err := os.Rename(name, name+sweptSuffix)
			_, putErr := store.Put(t.Context(), digest, data)
			return errors.Join(err, putErr)
		},
	} {
		for _, ended := range []bool{true, false} {
			store := Dir(t.TempDir())
			reference, err := store.Put(t.Context(), digest, data)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(store.path, filepath.FromSlash(reference))
			if err := errors.Join(os.Chtimes(file, past, past), put(store, file)); err != nil {
				t.Fatal(err)
			}
			readable := func() {
				t.Helper()
				if got, err := store.Get(t.Context(), reference, 100); err != nil || string(got) != string(data) {
					t.Errorf("put %s: it has %q, %v", name, got, err)
				}
			}
			readable()
			if ended {
				if _, err := finishSweep(file, before); err != nil {
					t.Error(err)
				}
				readable()
			}
			if _, err := store.Sweep(t.Context(), time.Hour); err != nil {
				t.Error(err)
			}
			readable()
			if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
				t.Errorf("put %s: %d files are left, %v", name, len(entries), err)
			}
		}
	}
}
