package visitor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const keyBytes = 32

// randomKeys are known to the caller alone.
type randomKeys struct{}

func (randomKeys) key(int64) []byte {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return key
}

func (randomKeys) forget(int64) {}

// derivedKeys can be made again from the secret.
type derivedKeys string

func (s derivedKeys) key(day int64) []byte {
	mac := hmac.New(sha256.New, []byte(s))
	_, _ = fmt.Fprintf(mac, "sidetrack daily visitor v1 %d", day)
	return mac.Sum(nil)
}

func (derivedKeys) forget(int64) {}

// storedKeys keeps the key of the day in a file of its own, readable by the owner alone.
type storedKeys struct{ dir string }

func newStoredKeys(dir string) (storedKeys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return storedKeys{}, fmt.Errorf("visitor: keys of days: %w", err)
	}
	probe, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return storedKeys{}, fmt.Errorf("visitor: keys of days: %w", err)
	}
	return storedKeys{dir}, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (s storedKeys) path(day int64) string {
	return filepath.Join(s.dir, "day-"+strconv.FormatInt(day, 10)+".key")
}

// key reads the day's key, or makes one. When it cannot be stored it lives as
// long as the process does: visitors must not get lost for that.
func (s storedKeys) key(day int64) []byte {
	if key, err := s.read(day); err == nil {
		return key
	}
	key := randomKeys{}.key(day)
	f, err := os.CreateTemp(s.dir, "new-*") // mode 0600
	if err != nil {
		return key
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(key); errors.Join(err, f.Close()) != nil {
		return key
	}
	// A link fails where the name exists: of several processes one wins, and all read its key.
	if err := os.Link(f.Name(), s.path(day)); err != nil {
		if theirs, err := s.read(day); err == nil {
			clear(key)
			return theirs
		}
	}
	return key
}

func (s storedKeys) read(day int64) ([]byte, error) {
	key, err := os.ReadFile(s.path(day))
	if err == nil && len(key) != keyBytes {
		err = errors.New("not a key")
	}
	return key, err
}

// forget overwrites and removes the files of earlier days, also those an earlier process left.
func (s storedKeys) forget(before int64) {
	files, _ := filepath.Glob(filepath.Join(s.dir, "day-*.key"))
	for _, name := range files {
		text := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "day-"), ".key")
		day, err := strconv.ParseInt(text, 10, 64)
		if err != nil || day >= before {
			continue
		}
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			_, _ = f.Write(make([]byte, keyBytes))
			_ = f.Sync()
			_ = f.Close()
		}
		_ = os.Remove(name)
	}
}
