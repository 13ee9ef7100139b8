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

// stopTimeout bounds its end. One that takes longer waits for itself.
const stopTimeout = 20 * time.Second

var (
	errServerDown  = errors.New("embedded server is not running")
	errServerStuck = errors.New("embedded server is stuck: only a new process can open its store again")
)

// embedded is the server inside the process. The client asks it for a
// connection each time it has lost one, so the server can be replaced under it.
type embedded struct {
	cfg  Embedded
	lock *dirLock

	mu    sync.Mutex // guards what follows
	srv   *server.Server
	ended chan struct{} // closed when the server that was stopped last has ended
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
	err = e.inspectCursors()
	if err == nil {
		err = e.start()
	}
	if err != nil {
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

// stop ends the server. One that does not end keeps its files, so that none may be started beside it.
func (e *embedded) stop() error {
	e.mu.Lock()
	if srv := e.srv; srv != nil {
		e.srv = nil
		ended := make(chan struct{})
		e.ended = ended
		go func() {
			srv.Shutdown()
			srv.WaitForShutdown()
			close(ended)
		}()
	}
	ended := e.ended
	e.mu.Unlock()
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		return errServerStuck
	}
}

// restart replaces the server. After a failed write JetStream accepts nothing
// more until it has read its store again.
func (e *embedded) restart() error {
	if err := e.stop(); err != nil {
		return err
	}
	return e.start()
}

func (e *embedded) close() error {
	return errors.Join(e.stop(), e.lock.release())
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
