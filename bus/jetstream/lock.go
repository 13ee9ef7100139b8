//go:build linux || darwin || freebsd

package jetstream

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is the ownership of a data directory. The kernel gives it back when
// the process dies, however that happens.
type dirLock struct{ f *os.File }

// lockDir takes the ownership of dir, or says who has it.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		b := make([]byte, 20)
		n, _ := f.ReadAt(b, 0)
		f.Close()
		owner := "another process"
		if pid := strings.TrimSpace(string(b[:n])); pid != "" {
			owner = "process " + pid
		}
		if err != syscall.EWOULDBLOCK {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("data_dir %s is in use by %s (lock file %s)", dir, owner, path)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	// A full disk must not keep the bus from starting: it is needed to drain.
	_, _ = f.WriteAt([]byte(pid), 0)
	return &dirLock{f}, nil
}

// release gives the directory back. The file stays: deleting it would let two
// processes lock two different files of the same name.
func (l *dirLock) release() error { return l.f.Close() }
