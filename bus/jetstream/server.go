package jetstream

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start of the embedded server, which reads its store.
const startTimeout = 30 * time.Second

var errServerDown = errors.New("embedded server is not running")

// embedded is the server inside the process. The client asks it for a
// connection each time it has lost one, so the server can be replaced under it.
type embedded struct {
	cfg  Embedded
	lock *dirLock

	mu  sync.Mutex // guards srv
	srv *server.Server
}

func newEmbedded(cfg Embedded) (*embedded, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	cfg.DataDir = dir
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{cfg: cfg, lock: lock}
	if err := e.start(); err != nil {
		lock.release()
		return nil, err
	}
	return e, nil
}

// countsDir holds the files of counts.
func (e *embedded) countsDir() string { return filepath.Join(e.cfg.DataDir, "counts") }

func (e *embedded) start() error {
	opts := &server.Options{
		ServerName: "sidetrack",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   e.cfg.DataDir,
		// The bus checks the sum of its limits itself: a smaller limit here
		// would refuse to move space from one topic to another.
		JetStreamMaxStore:  1 << 50,
		JetStreamMaxMemory: 1 << 20,
		MaxPayload:         maxPayload,
		SyncInterval:       syncEvery,
		SyncAlways:         e.cfg.Sync == SyncAlways,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	srv.SetLoggerV2(serverLog{e.cfg.Logger.With("component", "nats-server")}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("start server: not ready after %v", startTimeout)
	}
	if !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("start server: the store in %s cannot be used", e.cfg.DataDir)
	}
	e.mu.Lock()
	e.srv = srv
	e.mu.Unlock()
	return nil
}

func (e *embedded) stop() {
	e.mu.Lock()
	srv := e.srv
	e.srv = nil
	e.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// restart replaces the server. After a failed write JetStream accepts nothing
// more until it has read its store again.
func (e *embedded) restart() error {
	e.stop()
	return e.start()
}

func (e *embedded) close() error {
	e.stop()
	return e.lock.release()
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	srv := e.srv
	e.mu.Unlock()
	if srv == nil {
		return nil, errServerDown
	}
	return srv.InProcessConn()
}
