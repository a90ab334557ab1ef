package claimcheck

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
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
