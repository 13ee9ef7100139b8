//go:build !linux

package faults

import "errors"

var errOnlyLinux = errors.New("faults: mounting a file system: only on Linux")

// Mount fails: it is known for Linux only.
func Mount(string, int64) (func(), error) { return nil, errOnlyLinux }

// SetReadOnly fails: it is known for Linux only.
func SetReadOnly(string, bool) error { return errOnlyLinux }
