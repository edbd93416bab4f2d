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

func running(t testing.TB, id string) bool {
	t.Helper()
	return docker(t, "inspect", "-f", "{{.State.Running}}", id) == "true"
}

func TestAttachStdinOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		// `docker run -i` makes the container's stdin end with its first client.
		id := docker(t, "create", "-i", "--network", "none", image, "sh", "-c", "cat; echo over")
		t.Cleanup(func() { tryDocker("rm", "-fv", id) })
		docker(t, "start", id)
		url := s.url("/attach", execRequest{ContainerID: id, Stdin: true, Stdout: true, Stderr: true})
		var stdout bytes.Buffer
		err := open(url).StreamWithContext(deadline(t, 90*time.Second), remotecommand.StreamOptions{
			Stdin: strings.NewReader("a"), Stdout: &stdout, Stderr: io.Discard})
		must(t, err)
		if stdout.String() != "aover\n" {
			t.Fatalf("%q", stdout.String())
		}
		if running(t, id) {
			t.Fatal("the container did not see the end of stdin")
		}
	})
	s.waitIdle(20 * time.Second)
}

func TestAttachTTYDetachAndAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, []string{"-i", "-t"}, "sh")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for round := range 2 {
			url := s.url("/attach", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true})
			queue := make(sizes, 1)
			queue <- remotecommand.TerminalSize{Width: uint16(90 + round), Height: 33}
			typed, keyboard := io.Pipe()
			screen := &safeBuffer{}
			ctx, cancel := context.WithCancel(deadline(t, 90*time.Second))
			done := make(chan error, 1)
			go func() {
				done <- open(url).StreamWithContext(ctx, remotecommand.StreamOptions{
					Stdin: typed, Stdout: screen, Tty: true, TerminalSizeQueue: queue})
			}()
			eventually(t, 30*time.Second, "the new size shows", func() bool {
				fmt.Fprint(keyboard, "stty size\n")
				time.Sleep(100 * time.Millisecond)
				return strings.Contains(screen.String(), fmt.Sprintf("33 %d", 90+round))
			})
			cancel()
			<-done
			close(queue)
			s.waitIdle(20 * time.Second)
			if !running(t, id) {
				t.Fatal("detaching ended the container")
			}
		}
	})
}

func TestAttachEndsWithContainer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		id := container(t, nil, "sh", "-c", "while :; do echo tick; sleep 1; done")
		url := s.url("/attach", execRequest{ContainerID: id, Stdout: true, Stderr: true})
		screen := &safeBuffer{}
		done := make(chan error, 1)
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 90*time.Second),
				remotecommand.StreamOptions{Stdout: screen, Stderr: io.Discard})
		}()
		eventually(t, 30*time.Second, "output comes", func() bool { return strings.Contains(screen.String(), "tick") })
		docker(t, "kill", id)
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(30 * time.Second):
			t.Fatal("attach outlives its container")
		}
	})
	s.waitIdle(20 * time.Second)
}

func TestAttachToStopped(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "true")
	eventually(t, 30*time.Second, "container stops", func() bool { return !running(t, id) })
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/attach", execRequest{ContainerID: id, Stdout: true})
		err := open(url).StreamWithContext(deadline(t, 90*time.Second), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "not running") {
			t.Fatal(err)
		}
	})
}

// A client that stops reading holds up neither the container, nor its log, nor its stop.
func TestAttachStalledReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		id := container(t, nil, "sh", "-c", "until [ -e /go ]; do echo tick; sleep 0.2; done; yes | tr -d '\\n' | head -c 33554432 | fold -w 1000; echo; echo all; sleep 1000")
		url := s.url("/attach", execRequest{ContainerID: id, Stdout: true, Stderr: true})
		gate := &gatedWriter{open: make(chan struct{})}
		done := make(chan error, 1)
		before := s.held()
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 120*time.Second),
				remotecommand.StreamOptions{Stdout: gate, Stderr: io.Discard})
		}()
		eventually(t, 30*time.Second, "the client has its first output", gate.called.Load)
		docker(t, "exec", id, "touch", "/go")
		eventually(t, 40*time.Second, "the whole output is in the log", func() bool {
			return strings.HasSuffix(docker(t, "logs", "--tail", "1", id), "all")
		})
		if grown := s.held().RSSBytes - before.RSSBytes; grown > 40*megabyte {
			t.Errorf("memory grew by %d MB", grown/megabyte)
		}
		began := time.Now()
		docker(t, "kill", id)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the stop took %v", took)
		}
		// The client learns that it has not got everything, unless its own buffers have taken it.
		close(gate.open)
		err := <-done
		complete := err == nil && gate.bytes > 33554432
		if !complete && (err == nil || !strings.Contains(err.Error(), "taken no output")) {
			t.Errorf("%v after %d bytes", err, gate.bytes)
		}
	})
	s.waitIdle(20 * time.Second)
}
