package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// What Listen may begin with beside a TCP address.
const (
	unixPrefix = "unix:"
	systemd    = "systemd"
)

const defaultSocketMode = "0660"

// checkListen checks the form of an address. Problems are *sidetrack.FieldErrors.
func checkListen(cfg HTTPConfig) error {
	problem := func(field, text string) error { return &sidetrack.FieldError{Field: field, Problem: text} }
	if _, err := socketMode(cfg.SocketMode); err != nil {
		return problem("socket_mode", strconv.Quote(cfg.SocketMode)+" is no mode: write 0660")
	}
	path, isUnix := strings.CutPrefix(cfg.Listen, unixPrefix)
	_, _, err := net.SplitHostPort(cfg.Listen)
	switch {
	case isUnix && path == "", isUnix && len(path) > 107: // the kernel's struct sockaddr_un
		return problem("listen", "want unix: and a path of at most 107 bytes")
	case isUnix, cfg.Listen == systemd, strings.HasPrefix(cfg.Listen, systemd+":"):
		return nil
	case err != nil:
		return problem("listen", strconv.Quote(cfg.Listen)+" is no address: write :8080, 127.0.0.1:8080, unix:/run/sidetrack.sock or systemd")
	}
	return nil
}

func socketMode(s string) (fs.FileMode, error) {
	m, err := strconv.ParseUint(s, 8, 9)
	return fs.FileMode(m), err
}

// listen opens what cfg.Listen says.
func listen(ctx context.Context, cfg HTTPConfig) (net.Listener, error) {
	if path, ok := strings.CutPrefix(cfg.Listen, unixPrefix); ok {
		return listenUnix(ctx, path, cfg.SocketMode)
	}
	if cfg.Listen == systemd || strings.HasPrefix(cfg.Listen, systemd+":") {
		_, name, _ := strings.Cut(cfg.Listen, ":")
		return inherited(name)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", cfg.Listen)
}

// listenUnix makes a socket. One that a process left behind when it was killed is replaced, one that somebody
// serves is not. The socket's file goes away with the listener.
func listenUnix(ctx context.Context, path, mode string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there already and is no socket", path)
		}
		d := net.Dialer{Timeout: time.Second}
		switch c, err := d.DialContext(ctx, "unix", path); {
		case err == nil:
			_ = c.Close()
			return nil, fmt.Errorf("%s is served by another process", path)
		case errors.Is(err, syscall.ECONNREFUSED):
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	m, err := socketMode(mode)
	if err == nil {
		err = os.Chmod(path, m)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// firstInherited is the first file descriptor that systemd hands over (sd_listen_fds(3)).
const firstInherited = 3

// inherited returns a socket that systemd opened for this process: the one with that name
// (FileDescriptorName= of the socket unit), or the only one when name is "".
func inherited(name string) (net.Listener, error) {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if pid, perr := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || perr != nil || pid != os.Getpid() || n < 1 {
		return nil, errors.New("listen on systemd: no socket was handed over: start this by a socket unit")
	}
	i := 0
	if names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":"); name != "" {
		if i = slices.Index(names[:min(n, len(names))], name); i < 0 {
			return nil, fmt.Errorf("listen on systemd: no socket %q among %q", name, names)
		}
	} else if n > 1 {
		return nil, fmt.Errorf("listen on systemd: %d sockets were handed over: name one, systemd:%s", n, names[0])
	}
	syscall.CloseOnExec(firstInherited + i)
	f := os.NewFile(uintptr(firstInherited+i), "systemd")
	defer func() { _ = f.Close() }() // FileListener works on a copy
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on systemd: %w", err)
	}
	return ln, nil
}
