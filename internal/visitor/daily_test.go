package visitor

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	addrA = netip.MustParseAddr("203.0.113.7")
	addrB = netip.MustParseAddr("203.0.113.8")
)

func stored(t *testing.T, dir string) *Daily {
	t.Helper()
	d, err := NewStoredDaily(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDaily(t *testing.T) {
	now := time.Now()
	for name, d := range map[string]*Daily{"random": NewDaily(), "derived": NewDerivedDaily("secret"), "stored": stored(t, t.TempDir())} {
		id := d.ClientID("shop", addrA, "ua", now)
		if !ValidClientID(id) {
			t.Errorf("%s: %q is no client id", name, id)
		}
		if d.ClientID("shop", addrA, "ua", now) != id {
			t.Errorf("%s: changes within the day", name)
		}
		for what, other := range map[string]string{
			"site": d.ClientID("blog", addrA, "ua", now), "address": d.ClientID("shop", addrB, "ua", now),
			"user agent": d.ClientID("shop", addrA, "ua2", now), "boundary": d.ClientID("shopu", addrA, "a", now),
		} {
			if other == id {
				t.Errorf("%s: the same for another %s", name, what)
			}
		}
		if d.ClientID("shop", addrA, "ua", now.Add(24*time.Hour)) == id {
			t.Errorf("%s: the same on another day", name)
		}
	}
	one, two := NewDerivedDaily("s"), NewDerivedDaily("s")
	if one.ClientID("", addrA, "", now) != two.ClientID("", addrA, "", now) {
		t.Error("two processes with one secret disagree")
	}
	one, two = NewDaily(), NewDaily()
	if one.ClientID("", addrA, "", now) == two.ClientID("", addrA, "", now) {
		t.Error("two processes without a secret agree")
	}
	x, y := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if d := NewDaily(); d.ClientID("", x, "", now) != d.ClientID("", y, "", now) {
		t.Error("addresses of one IPv6 network are told apart")
	}
}

// TestDailyKeysAreGone holds on to the memory of a key and looks at it after midnight, without
// any event in between.
func TestDailyKeysAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, d := range map[string]*Daily{"random": NewDaily(), "stored": stored(t, dir)} {
			time.Sleep(time.Hour)
			id := d.ClientID("shop", addrA, "ua", time.Now())
			d.mu.Lock()
			key, copied := d.key, slices.Clone(d.key)
			d.mu.Unlock()
			if bytes.Equal(copied, make([]byte, keyBytes)) {
				t.Fatalf("%s: no key", name)
			}
			time.Sleep(24*time.Hour - time.Duration(time.Now().Unix()%daySeconds)*time.Second)
			synctest.Wait()
			d.mu.Lock()
			if d.key != nil || !bytes.Equal(key, make([]byte, keyBytes)) {
				t.Errorf("%s: the key is still in memory after midnight", name)
			}
			d.mu.Unlock()
			if d.ClientID("shop", addrA, "ua", time.Now().Add(-2*time.Hour)) == id {
				t.Errorf("%s: the id of yesterday can be made again", name)
			}
			d.mu.Lock()
			if bytes.Equal(d.key, copied) {
				t.Errorf("%s: the key of yesterday is in use", name)
			}
			d.mu.Unlock()
			for _, path := range keyFiles(t, dir) {
				if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, copied) {
					t.Errorf("%s: yesterday's key is in %s (%v)", name, path, err)
				}
			}
			d.mu.Lock()
			d.timer.Stop()
			d.mu.Unlock()
		}
		if n := len(keyFiles(t, dir)); n != 1 {
			t.Errorf("%d files, want the one of today", n)
		}
	})
}

func keyFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestStoredKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	now := time.Now()
	id := stored(t, dir).ClientID("", addrA, "", now)
	if again := stored(t, dir).ClientID("", addrA, "", now); again != id {
		t.Error("a restart changes the ids")
	}
	files := keyFiles(t, dir)
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// What a process left that did not see midnight.
	left := filepath.Join(dir, "day-19000.key")
	if err := os.WriteFile(left, bytes.Repeat([]byte{7}, keyBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(left)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	if err := os.WriteFile(files[0], []byte("cut"), 0o600); err != nil { // and one that is broken
		t.Fatal(err)
	}
	if got := stored(t, dir).ClientID("", addrA, "", now); got == id || !ValidClientID(got) {
		t.Errorf("with a broken file: %s", got)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the key of an earlier day is still there: %v", err)
	}
	rest := make([]byte, keyBytes)
	if _, err := open.Read(rest); err != nil || !bytes.Equal(rest, make([]byte, keyBytes)) {
		t.Errorf("the key was removed but not overwritten: %x %v", rest, err)
	}
	if _, err := NewStoredDaily(files[0]); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// TestStoredKeysTogether starts many processes' worth of makers at once: they agree.
func TestStoredKeysTogether(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			d, err := NewStoredDaily(dir)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = d.ClientID("", addrA, "", now)
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("ids %v", ids)
		}
	}
}
