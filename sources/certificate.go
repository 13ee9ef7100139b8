package sources

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// TLSConfig names the files of a certificate. They are read again when they change, so a renewed
// certificate needs no restart.
type TLSConfig struct {
	// CertFile holds the certificate and its intermediates in PEM.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds the private key in PEM.
	KeyFile string `yaml:"key_file"`
}

func (c TLSConfig) enabled() bool { return c != TLSConfig{} }

// check tells what is missing, as a *sidetrack.FieldError.
func (c TLSConfig) check() error {
	if c.enabled() && (c.CertFile == "" || c.KeyFile == "") {
		return &sidetrack.FieldError{Field: "tls", Problem: "needs both cert_file and key_file"}
	}
	return nil
}

// certificateCheck is how often the files are looked at, while there are handshakes.
const certificateCheck = 5 * time.Second

// certificate is the one in the files. It is safe for concurrent use.
type certificate struct {
	files TLSConfig
	log   *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamps  [2]stamp
	checked time.Time
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// newCertificate reads the files once, so that what is wrong with them shows at the start.
func newCertificate(files TLSConfig, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	c.checked = time.Now()
	return c, nil
}

// get serves tls.Config.GetCertificate. When new files cannot be read it keeps the old certificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		if stamps, err := c.look(); err == nil && stamps != c.stamps {
			c.stamps = stamps // a broken pair is reported once
			if err := c.load(); err != nil {
				c.log.Error("http: the new certificate cannot be used, the old one stays", "error", err)
			} else {
				c.log.Info("http: the certificate was renewed")
			}
		}
	}
	return c.pair, nil
}

func (c *certificate) look() (stamps [2]stamp, err error) {
	for i, path := range []string{c.files.CertFile, c.files.KeyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

func (c *certificate) load() error {
	stamps, err := c.look()
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.pair, c.stamps = &pair, stamps
	return nil
}
