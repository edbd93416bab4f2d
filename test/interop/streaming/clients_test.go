package streaming

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
)

// What every client-go in use has to get. scripts/test-interop runs the tests whose names begin with
// TestClient with each of the go-*.mod files.

func TestClientExitCodes(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for command, want := range map[string]int{
			"exit 0": 0, "exit 1": 1, "exit 126": 126, "exit 255": 255, "/no/such": 127, "kill -9 $$": 137, "kill -15 $$": 143, "kill -11 $$": 139,
		} {
			url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true, Cmd: []string{"sh", "-c", "echo out; echo err >&2; " + command}})
			var stdout, stderr bytes.Buffer
			err := open(url).StreamWithContext(deadline(t, 60*time.Second), remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
			if got := exitCode(err); got != want || stdout.String() != "out\n" || !strings.HasPrefix(stderr.String(), "err\n") {
				t.Errorf("%s: %v, stdout %q, stderr %q", command, err, stdout.String(), stderr.String())
			}
		}
	})
	s.waitIdle(20 * time.Second)
}

// terminal is one client at a terminal of the process.
type terminal struct {
	t        testing.TB
	keyboard io.WriteCloser
	screen   *safeBuffer
	sizes    sizes
	done     chan error
	leave    func()
}

func openTerminal(t testing.TB, executor remotecommand.Executor) *terminal {
	typed, keyboard := io.Pipe()
	ctx, cancel := context.WithCancel(deadline(t, 180*time.Second))
	at := &terminal{t, keyboard, &safeBuffer{}, make(sizes, 4), make(chan error, 1), cancel}
	at.sizes <- remotecommand.TerminalSize{Width: 81, Height: 23}
	go func() {
		at.done <- executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: typed, Stdout: at.screen, Tty: true, TerminalSizeQueue: at.sizes})
	}()
	t.Cleanup(func() { cancel(); close(at.sizes) })
	return at
}

func (at *terminal) shows(text string) {
	at.t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(at.screen.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			at.t.Fatalf("%q is not on the screen: %q", text, at.screen.String())
		}
	}
}

func (at *terminal) ends(want int) {
	at.t.Helper()
	select {
	case err := <-at.done:
		if exitCode(err) != want {
			at.t.Fatalf("exit code %d wanted: %v; %q", want, err, at.screen.String())
		}
	case <-time.After(30 * time.Second):
		at.t.Fatalf("the session does not end: %q", at.screen.String())
	}
}

func TestClientTerminal(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		at := openTerminal(t, open(s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh"}})))
		// The size may come after the start.
		eventually(t, 30*time.Second, "the first size shows", func() bool {
			fmt.Fprint(at.keyboard, "stty size\n")
			time.Sleep(100 * time.Millisecond)
			return strings.Contains(at.screen.String(), "23 81")
		})
		at.sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
		eventually(t, 30*time.Second, "the next size shows", func() bool {
			fmt.Fprint(at.keyboard, "stty size\n")
			time.Sleep(100 * time.Millisecond)
			return strings.Contains(at.screen.String(), "43 132")
		})
		fmt.Fprint(at.keyboard, "echo ru''ns; sleep 100\n")
		at.shows("runs\r\n")
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(at.keyboard, "\x03")
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(at.keyboard, "echo co''de $?\n")
		at.shows("code 130")
		fmt.Fprint(at.keyboard, "exit 42\n")
		at.ends(42)
		// The keys that end and interrupt.
		at = openTerminal(t, open(s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"cat"}})))
		fmt.Fprint(at.keyboard, "hello\n\x04")
		at.ends(0)
		at = openTerminal(t, open(s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"cat"}})))
		fmt.Fprint(at.keyboard, "x\n")
		at.shows("x\r\nx")
		fmt.Fprint(at.keyboard, "\x03")
		at.ends(130)
	})
	s.waitIdle(10 * time.Second)
}

// Every key by itself: none is swallowed, none waits for the next one.
func TestClientKeys(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	const hexdump = "stty raw -echo; echo ready; while :; do dd bs=1 count=1 2>/dev/null | od -An -tx1; done"
	exec := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		attached := container(t, []string{"-i", "-t"}, "sh", "-c", "read line; "+hexdump)
		for kind, url := range map[string]*url.URL{
			"exec":   s.url("/exec", execRequest{ContainerID: exec, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh", "-c", hexdump}}),
			"attach": s.url("/attach", execRequest{ContainerID: attached, TTY: true, Stdin: true, Stdout: true}),
		} {
			at := openTerminal(t, open(url))
			if kind == "attach" {
				fmt.Fprint(at.keyboard, "\n")
			}
			at.shows("ready")
			time.Sleep(200 * time.Millisecond)
			var slowest time.Duration
			for key := range 128 {
				seen := strings.Count(at.screen.String(), "\n")
				began := time.Now()
				at.keyboard.Write([]byte{byte(key)})
				for strings.Count(at.screen.String(), "\n") == seen {
					if time.Sleep(2 * time.Millisecond); time.Since(began) > 20*time.Second {
						t.Fatalf("%s: key %#x does not arrive: %q", kind, key, at.screen.String())
					}
				}
				if want := fmt.Sprintf(" %02x\n", key); !strings.HasSuffix(strings.ReplaceAll(at.screen.String(), "\r", ""), want) {
					t.Fatalf("%s: key %#x: %q", kind, key, at.screen.String())
				}
				slowest = max(slowest, time.Since(began))
			}
			t.Logf("%s: the slowest of 128 keys took %v", kind, slowest)
			at.leave()
			<-at.done
		}
	})
}

// The end of stdin is no end of the container: others may attach later.
func TestClientAttachDetaches(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	for name, tty := range map[string]bool{"plain": false, "tty": true} {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
				options := []string{"-i"}
				if tty {
					options = append(options, "-t")
				}
				// Docker's own client would ask for StdinOnce: `run -d` does not.
				id := container(t, options, "sh", "-c", "while read line; do echo got $line; done; echo closed; sleep 1000")
				for _, word := range []string{"first", "second"} {
					url := s.url("/attach", execRequest{ContainerID: id, TTY: tty, Stdin: true, Stdout: true, Stderr: !tty})
					screen := &safeBuffer{}
					opts := remotecommand.StreamOptions{Stdin: strings.NewReader(word + "\n"), Stdout: screen, Tty: tty}
					if !tty {
						opts.Stderr = io.Discard
					}
					began := time.Now()
					must(t, open(url).StreamWithContext(deadline(t, 60*time.Second), opts))
					// Within a second where nothing else runs: the unit tests see to that.
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("the client had to wait %v", took)
					}
					if !strings.Contains(screen.String(), "got "+word) {
						t.Errorf("the answer was not shown: %q", screen.String())
					}
				}
				// What is typed and left at once arrives all the same.
				for i := range 5 {
					url := s.url("/attach", execRequest{ContainerID: id, TTY: tty, Stdin: true, Stdout: true})
					must(t, open(url).StreamWithContext(deadline(t, 60*time.Second), remotecommand.StreamOptions{
						Stdin: strings.NewReader(strings.Repeat(fmt.Sprintf("line%d\n", i), 500)), Stdout: io.Discard, Tty: tty}))
				}
				for i := range 5 {
					eventually(t, 30*time.Second, "all lines are in the log", func() bool {
						return strings.Count(docker(t, "logs", id), fmt.Sprintf("got line%d", i)) == 500
					})
				}
				if log := docker(t, "logs", id); !running(t, id) || strings.Contains(log, "closed") {
					t.Fatalf("the container's stdin has ended: %q", log)
				}
			})
		})
	}
	s.waitIdle(20 * time.Second)
}
