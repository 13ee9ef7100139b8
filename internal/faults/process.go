package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a running command that can be ended in every way a process ends.
type Process struct {
	Cmd    *exec.Cmd
	Stderr *Buffer

	exited chan struct{}
}

// Buffer is a bytes.Buffer for concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written so far.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs cmd. What it says on stderr is kept, and copied to cmd.Stderr where that is set.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Stderr: &Buffer{}, exited: make(chan struct{})}
	if cmd.Stderr != nil {
		cmd.Stderr = io.MultiWriter(p.Stderr, cmd.Stderr)
	} else {
		cmd.Stderr = p.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("faults: start %s: %w", cmd.Path, err)
	}
	go func() { _ = cmd.Wait(); close(p.exited) }()
	return p, nil
}

// Exited is closed when the process has ended, for whatever reason.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is the code of a process that has ended, -1 for one that was killed.
func (p *Process) ExitCode() int { return p.Cmd.ProcessState.ExitCode() }

// Kill ends the process at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.exited
}

// Stop asks the process to end, as an operator or a service manager would, and waits for at
// most limit. A process that is still there then is killed, and an error says so.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("faults: stop: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("faults: stop: still running %s after SIGTERM", limit)
	}
}

// FreeAddr returns a loopback address nobody listens on. It is not one of those the system
// gives to connections: while the process that is to listen there is down, a client that
// dials such an address now and then connects to itself, and keeps the process out.
func FreeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err != nil {
			continue
		}
		return l.Addr().String(), l.Close()
	}
	return "", errors.New("faults: no free port")
}
