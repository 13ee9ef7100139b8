// Package pgtest runs a private PostgreSQL for tests: a cluster of its own in a temporary directory, reached over a unix
// socket alone.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// Password is that of the superuser of every cluster.
const Password = "pgtest-s3cret"

// Server is a PostgreSQL server that belongs to one test.
type Server struct {
	t       testing.TB
	bin     string
	dir     string
	options []string
	as      *syscall.SysProcAttr
	process *faults.Process
}

// Start makes a cluster and starts it; both are gone when the test ends. Options are settings such as
// "max_connections=10". Nothing is forced to the disk unless "fsync=on" is among them. Where PostgreSQL is not installed the test is
// skipped, or fails if the environment has SIDETRACK_E2E=required.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	bin, err := find()
	if err != nil {
		if os.Getenv("SIDETRACK_E2E") == "required" {
			t.Fatalf("pgtest: %v, and SIDETRACK_E2E=required", err)
		}
		t.Skipf("pgtest: %v", err)
	}
	// Not t.TempDir: that one is below a directory that only its owner may enter, and the path of a socket must be short.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, bin: bin, dir: dir, options: append([]string{"fsync=off"}, options...), as: &syscall.SysProcAttr{}}
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	if os.Getuid() == 0 { // which PostgreSQL refuses
		if s.as.Credential, err = unprivileged(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, int(s.as.Credential.Uid), int(s.as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(Password+"\n"), 0o644); err != nil { //nolint:gosec // in a directory of the user
		t.Fatal(err)
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", filepath.Join(dir, "data"), "--username", "postgres",
		"--auth", "scram-sha-256", "--pwfile", secret, "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = s.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("pgtest: initdb: %v\n%s", err, out)
	}
	s.Restart()
	return s
}

// find returns the directory of PostgreSQL's programs.
func find() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(dirs) == 0 {
		return "", fmt.Errorf("PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(dirs, func(a, b string) int { return version(a) - version(b) })), nil
}

// unprivileged is somebody to run as who is not root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("pgtest: neither a user postgres nor nobody, and PostgreSQL does not run as root")
}

// Restart starts the server, ending it first if it runs, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	args := []string{"-D", filepath.Join(s.dir, "data"), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir, "-c", "unix_socket_permissions=0777"}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.SysProcAttr, cmd.Dir = s.as, s.dir
	p, err := faults.Start(cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = p
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.URL(nil))
		if err == nil {
			_ = conn.Close(context.Background())
			return
		}
		select {
		case <-p.Exited():
			s.t.Fatalf("pgtest: the server ended at once:\n%s", p.Stderr)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("pgtest: no answer after a minute: %v\n%s", err, p.Stderr)
		}
	}
}

// Kill ends the server as pg_ctl stop -m immediate does: without a word to its clients or a checkpoint, so that the next start has to
// recover. It waits for the end.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.process.Exited():
	case <-time.After(30 * time.Second):
		s.process.Kill()
	}
	s.process = nil
}

// Log is what the server has said since its last start.
func (s *Server) Log() string { return s.process.Stderr.String() }

// URL is a connection string for the superuser, changed by edit where it is not nil.
func (s *Server) URL(edit func(*url.URL)) string {
	u := &url.URL{Scheme: "postgres", User: url.UserPassword("postgres", Password), Path: "/postgres"}
	u.RawQuery = url.Values{"host": {s.dir}}.Encode()
	if edit != nil {
		edit(u)
	}
	return u.String()
}

// Connect opens a connection that is closed when the test ends.
func (s *Server) Connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL(nil))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
