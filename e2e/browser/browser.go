// Package browser runs a real Chromium for tests.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Timeout bounds one test's use of the browser.
const Timeout = 2 * time.Minute

// New starts a Chromium with an empty profile and returns the context of its first
// tab, for chromedp.Run and chromedp.Do. The browser ends with the test.
//
// hosts are names the browser shall find at 127.0.0.1, so that tests can have several
// sites; names under localhost need no entry. A name that is neither is not looked up.
//
// Without Chromium the test is skipped, except where SIDETRACK_E2E is "required".
func New(t *testing.T, hosts ...string) context.Context {
	t.Helper()
	path := find()
	if path == "" {
		if os.Getenv("SIDETRACK_E2E") == "required" {
			t.Fatal("no Chromium found: install the package chromium")
		}
		t.Skip("no Chromium found: install the package chromium to run this test")
	}
	rules := ""
	for _, h := range hosts {
		rules += "MAP " + h + " 127.0.0.1, "
	}
	rules += "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // containers and CI run as root
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", rules),
		// Nothing of the browser's own may leave: it would only fail, many times a second.
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-quic", true),
	)
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
