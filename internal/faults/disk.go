package faults

import (
	"fmt"
	"os"
)

// Fill writes a file until nothing fits on its file system any more. Removing the file
// frees the space again.
func Fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("faults: fill: %w", err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{1 << 20, 4096, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	return nil
}

// Flip inverts n bytes of a file from an offset on; a negative one counts from the end.
func Flip(path string, offset int64, n int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("faults: flip: %w", err)
	}
	defer func() { _ = f.Close() }()
	if offset < 0 {
		st, err := f.Stat()
		if err != nil {
			return fmt.Errorf("faults: flip: %w", err)
		}
		offset += st.Size()
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, offset); err != nil {
		return fmt.Errorf("faults: flip: read at %d: %w", offset, err)
	}
	for i := range b {
		b[i] ^= 0xff
	}
	if _, err := f.WriteAt(b, offset); err != nil {
		return fmt.Errorf("faults: flip: %w", err)
	}
	return nil
}

// MountFor is Mount for the time of a test, which is skipped where mounting is not allowed, except where
// SIDETRACK_E2E is "required".
func MountFor(t interface {
	Helper()
	Skip(...any)
	Fatal(...any)
	Cleanup(func())
}, dir string, bytes int64) {
	t.Helper()
	unmount, err := Mount(dir, bytes)
	if err != nil {
		if os.Getenv("SIDETRACK_E2E") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(unmount)
}
