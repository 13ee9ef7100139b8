package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/internal/gamock"
)

var update = flag.Bool("update", false, "write the golden parts of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sidetrack": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport":  freePort,
			"post":      post,
			"scrape":    scrape,
			"backend":   backend,
			"answering": answering,
			"wait-dead": waitDead,
			"gone":      gone,
			"sleep":     pause,
			"wait-for":  waitFor,
			"google":    google,
		},
	})
}

// answering starts a server that writes what it gets to a file, and sets a variable to its
// address: answering NAME FILE STATUS ANSWER.
func answering(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	path := ts.MkAbs(args[1])
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(f, "%s %s\n%s\n", r.Method, r.URL.RequestURI(), body)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, args[3])
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// freePort sets a variable to an address nobody listens on: freeport NAME.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	addr, err := faults.FreeAddr()
	ts.Check(err)
	ts.Setenv(args[0], addr)
}

// post sends JSON, waiting for the listener to come up, and checks the status: post STATUS URL BODY.
func post(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		r, err := http.Post(args[1], "application/json", strings.NewReader(args[2]))
		if err != nil {
			if time.Now().After(deadline) {
				ts.Fatalf("%v", err)
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if got := r.Status[:3]; got != args[0] {
			ts.Fatalf("%s, want %s: %s", r.Status, args[0], body)
		}
		return
	}
}

// scrape gets a page until it matches an expression, for 20 seconds at most: scrape URL REGEXP.
func scrape(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	last := "no answer"
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(args[0])
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if last = string(body); want.MatchString(last) {
			return
		}
	}
	ts.Fatalf("%s does not match %q: %s", args[0], args[1], last)
}

// backend starts a server that answers each request with the status that a file holds and
// appends what it took to another: backend VARIABLE STATUSFILE TAKENFILE.
func backend(ts *testscript.TestScript, _ bool, args []string) {
	status, taken := ts.MkAbs(args[1]), ts.MkAbs(args[2])
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		b, _ := os.ReadFile(status)
		code, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			code = http.StatusInternalServerError
		}
		w.WriteHeader(code)
		if f, err := os.OpenFile(taken, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil && code < 300 {
			_, _ = f.Write(append(body, '\n'))
			_ = f.Close()
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL)
}

// waitDead waits until there are so many dead letters: wait-dead N.
func waitDead(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("sidetrack", "dead", "ls", "--output", "json"))
		if out := ts.ReadFile("stdout"); strings.Count(out, "\n") == want {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("want %d dead letters, have:\n%s", want, out)
		}
	}
}

// pause waits between two signals, which would otherwise arrive as one: sleep DURATION.
func pause(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

// gone checks that a path made by the program does not exist any more: gone DIR PREFIX.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), args[1]) {
			ts.Fatalf("%s is still there", e.Name())
		}
	}
}

// waitFor waits until a file holds a text: wait-for FILE TEXT.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		if strings.Contains(string(b), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not hold %q: %s", args[0], args[1], b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// google starts a stand-in for Google's endpoints that enforces the rules: google NAME.
func google(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(new(gamock.Server))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}
