//go:build !(linux || darwin || freebsd)

package jetstream

import "errors"

type dirLock struct{}

// lockDir fails: without a lock that the system gives back when a process dies,
// two processes could write to one store.
func lockDir(string) (*dirLock, error) {
	return nil, errors.New("the embedded bus runs on Linux, macOS and FreeBSD only; use nats")
}

func (*dirLock) release() error { return nil }

func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
