package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// screenshots is the folder for pictures of the status page. Without it the tests take none.
var screenshots = flag.String("screenshots", "", "write screenshots of the status page into this folder")

// longest is how long a browser may take for anything: the machine is busy with other tests.
const longest = 60 * time.Second

// browser is a tab in a Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // guarded by mu: the console's errors and warnings, including violations of the policy
}

// openBrowser starts Chromium, which runs until the test ends. If Chromium is missing, openBrowser
// fails the test and never skips it.
func openBrowser(t *testing.T, flags ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "chromium is not installed: apt-get install chromium, or run make test as root")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, // there is no sandbox for root, and Chromium opens only our pages
		chromedp.Flag("disable-dev-shm-usage", true))
	options = append(options, flags...)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, b.heed)) // starts it
	return b
}

// Errors and warnings of the page become problems.
func (b *browser) heed(event any) {
	var problem any
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = e.ExceptionDetails
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			problem = e.Args
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			problem = e.Entry
		}
	}
	if problem == nil {
		return
	}
	text, _ := json.Marshal(problem) // it came as JSON
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, string(text))
}

// sound fails the test if the page has had a problem.
func (b *browser) sound() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.problems)
}

// run performs an action in bounded time.
func run[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, longest)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	require.NoError(b.t, err)
	return value
}

// eval evaluates an expression. If the value is a promise, eval waits for its result.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// command sends a command.
func command[P any](b *browser, c cdp.Command[P, cdp.Empty], params P) {
	b.t.Helper()
	run(b, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	}))
}

// until waits for an expression to be true, and returns how long that took.
func (b *browser) until(expression string) time.Duration {
	b.t.Helper()
	began := time.Now()
	run(b, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0)))
	return time.Since(began)
}

// size sets the window's width and its color scheme.
func (b *browser) size(width int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	var options []chromedp.EmulateViewportOption
	if width < 500 {
		options = append(options, chromedp.EmulateMobile)
	}
	run(b, chromedp.EmulateViewport(width, 900, options...))
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// shoot takes a picture of the whole page if -screenshots is set.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	require.NoError(b.t, os.MkdirAll(*screenshots, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(*screenshots, name+".png"), run(b, chromedp.FullScreenshot(100)), 0o644))
}
