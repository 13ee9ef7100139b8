package faults

import (
	"fmt"
	"syscall"
)

// Mount mounts an empty file system of the given size, in memory, on dir. It needs
// root; callers skip when it fails.
func Mount(dir string, bytes int64) (unmount func(), err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, fmt.Errorf("faults: mounting a file system needs root: %w", err)
	}
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}

// SetReadOnly turns what Mount mounted read-only, as the kernel does with a disk that fails, or
// back. It fails while a file is open for writing.
func SetReadOnly(dir string, readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, ""); err != nil {
		return fmt.Errorf("faults: remount: %w", err)
	}
	return nil
}
