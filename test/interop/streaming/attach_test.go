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
	s := startServer(t, "serve.ts")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		// `docker run -i` makes the container's stdin end with its first client.
		id := docker(t, "create", "-i", "--network", "none", image, "sh", "-c", "cat; echo over")
		t.Cleanup(func() { tryDocker("rm", "-fv", id) })
		docker(t, "start", id)
		url := s.url("/attach", execRequest{ContainerID: id, Stdin: true, Stdout: true, Stderr: true})
		var stdout bytes.Buffer
		err := open(url).StreamWithContext(deadline(t, 20*time.Second), remotecommand.StreamOptions{
			Stdin: strings.NewReader("a"), Stdout: &stdout, Stderr: io.Discard})
		must(t, err)
		if stdout.String() != "aover\n" {
			t.Fatalf("%q", stdout.String())
		}
		if running(t, id) {
			t.Fatal("the container did not see the end of stdin")
		}
	})
	s.waitIdle(5 * time.Second)
}

func TestAttachTTYDetachAndAgain(t *testing.T) {
	s := startServer(t, "serve.ts")
	id := container(t, []string{"-i", "-t"}, "sh")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for round := range 2 {
			url := s.url("/attach", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true})
			queue := make(sizes, 1)
			queue <- remotecommand.TerminalSize{Width: uint16(90 + round), Height: 33}
			typed, keyboard := io.Pipe()
			screen := &safeBuffer{}
			ctx, cancel := context.WithCancel(deadline(t, 30*time.Second))
			done := make(chan error, 1)
			go func() {
				done <- open(url).StreamWithContext(ctx, remotecommand.StreamOptions{
					Stdin: typed, Stdout: screen, Tty: true, TerminalSizeQueue: queue})
			}()
			eventually(t, 15*time.Second, "the new size shows", func() bool {
				fmt.Fprint(keyboard, "stty size\n")
				time.Sleep(100 * time.Millisecond)
				return strings.Contains(screen.String(), fmt.Sprintf("33 %d", 90+round))
			})
			cancel()
			<-done
			close(queue)
			s.waitIdle(5 * time.Second)
			if !running(t, id) {
				t.Fatal("detaching ended the container")
			}
		}
	})
}

func TestAttachEndsWithContainer(t *testing.T) {
	s := startServer(t, "serve.ts")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		id := container(t, nil, "sh", "-c", "while :; do echo tick; sleep 1; done")
		url := s.url("/attach", execRequest{ContainerID: id, Stdout: true, Stderr: true})
		screen := &safeBuffer{}
		done := make(chan error, 1)
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 30*time.Second),
				remotecommand.StreamOptions{Stdout: screen, Stderr: io.Discard})
		}()
		eventually(t, 10*time.Second, "output comes", func() bool { return strings.Contains(screen.String(), "tick") })
		docker(t, "kill", id)
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("attach outlives its container")
		}
	})
	s.waitIdle(5 * time.Second)
}

func TestAttachToStopped(t *testing.T) {
	s := startServer(t, "serve.ts")
	id := container(t, nil, "true")
	eventually(t, 10*time.Second, "container stops", func() bool { return !running(t, id) })
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/attach", execRequest{ContainerID: id, Stdout: true})
		err := open(url).StreamWithContext(deadline(t, 10*time.Second), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "not running") {
			t.Fatal(err)
		}
	})
}

func TestAttachStalledReader(t *testing.T) {
	s := startServer(t, "serve.ts")
	id := container(t, []string{"--log-driver", "none"}, "sh", "-c", "sleep 2; yes | head -c 67108864; sleep 1")
	url := s.url("/attach", execRequest{ContainerID: id, Stdout: true, Stderr: true})
	gate := &gatedWriter{open: make(chan struct{})}
	done := make(chan error, 1)
	before := s.held()
	go func() {
		done <- executors["spdy"](t, url).StreamWithContext(deadline(t, 60*time.Second),
			remotecommand.StreamOptions{Stdout: gate, Stderr: io.Discard})
	}()
	time.Sleep(5 * time.Second)
	if grown := s.held().RSSBytes - before.RSSBytes; grown > 40*megabyte {
		t.Errorf("memory grew by %d MB", grown/megabyte)
	}
	close(gate.open)
	must(t, <-done)
	if gate.bytes != 67108864 {
		t.Errorf("%d bytes", gate.bytes)
	}
}
