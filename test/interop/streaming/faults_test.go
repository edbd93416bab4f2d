package streaming

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
)

func TestClientKilled(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	top := func() string { return docker(t, "top", id) }
	for name, open := range executors {
		t.Run(name, func(t *testing.T) {
			for _, tty := range []bool{true, false} {
				url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: tty,
					// A child that ignores the terminal's hangup has to go as well.
					Cmd: []string{"sh", "-c", "trap '' HUP; sleep 4321 & echo up; sleep 1234"}})
				proxy := startProxy(t, url.Host)
				url.Host = proxy.address
				screen := &safeBuffer{}
				stdin, keyboard := io.Pipe()
				done := make(chan error, 1)
				go func() {
					done <- open(t, url).StreamWithContext(deadline(t, 90*time.Second),
						remotecommand.StreamOptions{Stdin: stdin, Stdout: screen, Tty: tty})
				}()
				eventually(t, 30*time.Second, "process is up", func() bool { return strings.Contains(screen.String(), "up") })
				proxy.cut()
				// SPDY's client takes the cut for an end of its streams.
				if err := <-done; err == nil && name != "spdy" {
					t.Error("the client took the cut for a success")
				}
				keyboard.Close()
				s.waitIdle(20 * time.Second)
				eventually(t, 30*time.Second, "process is gone", func() bool {
					return !strings.Contains(top(), "1234") && !strings.Contains(top(), "4321")
				})
			}
		})
	}
}

func TestClientKilledOutputOnly(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	for name, open := range executors {
		t.Run(name, func(t *testing.T) {
			marker := "/tmp/done-" + name
			url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
				// Blocks for ever if nobody takes its output.
				Cmd: []string{"sh", "-c", "echo up; sleep 1; yes | head -c 10000000; touch " + marker}})
			proxy := startProxy(t, url.Host)
			url.Host = proxy.address
			screen := &safeBuffer{}
			done := make(chan error, 1)
			go func() {
				done <- open(t, url).StreamWithContext(deadline(t, 90*time.Second),
					remotecommand.StreamOptions{Stdout: screen, Stderr: io.Discard})
			}()
			eventually(t, 30*time.Second, "process is up", func() bool { return strings.Contains(screen.String(), "up") })
			proxy.cut()
			<-done
			eventually(t, 30*time.Second, "process runs to its end", func() bool {
				_, err := tryDocker("exec", id, "test", "-e", marker)
				return err == nil
			})
			s.waitIdle(20 * time.Second)
		})
	}
	if killed := s.held().Killed; killed != 0 {
		t.Errorf("%d processes were killed", killed)
	}
}

func TestServerKilled(t *testing.T) {
	t.Parallel()
	id := container(t, nil, "sleep", "1000")
	for name, open := range executors {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "serve.ts")
			url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"cat"}})
			screen := &safeBuffer{}
			stdin, keyboard := io.Pipe()
			defer keyboard.Close()
			done := make(chan error, 1)
			go func() {
				done <- open(t, url).StreamWithContext(deadline(t, 90*time.Second),
					remotecommand.StreamOptions{Stdin: stdin, Stdout: screen})
			}()
			go fmt.Fprint(keyboard, "hello")
			eventually(t, 30*time.Second, "echo", func() bool { return screen.String() == "hello" })
			s.kill()
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Fatal("the client hangs")
			}
		})
	}
	t.Run("portforward", func(t *testing.T) {
		s := startServer(t, "serve.ts")
		target := pod(t, "none", "echo=127.0.0.1:8080")
		local, done, _ := forwarded(t, dialers["spdy"](t, s.url("/portforward", portForwardRequest{PodSandboxID: target})), 8080)
		conn := dialLocal(t, local[8080])
		fmt.Fprint(conn, "ping")
		io.ReadFull(conn, make([]byte, 4))
		s.kill()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("the client hangs")
		}
	})
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	for name, open := range executors {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "serve.ts")
			url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Cmd: []string{"sh", "-c", "echo up; sleep 300"}})
			screen := &safeBuffer{}
			done := make(chan error, 1)
			go func() {
				done <- open(t, url).StreamWithContext(deadline(t, 90*time.Second), remotecommand.StreamOptions{Stdout: screen})
			}()
			eventually(t, 30*time.Second, "process is up", func() bool { return strings.Contains(screen.String(), "up") })
			var reply struct{}
			s.ask("/close", struct{}{}, &reply)
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Fatal("the client hangs")
			}
			if sessions := s.held().Sessions; sessions != 0 {
				t.Errorf("%d sessions are left", sessions)
			}
		})
	}
	_ = s
}

// rounds is 90 in CI, where a handle that each of them leaves shows as 60 more.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("DOCKLINE_TEST_ROUNDS")); err == nil {
		return n
	}
	return 90
}

// level runs a round many times and compares what the server holds after a tenth of them with what
// it holds at the end.
func level(t *testing.T, s *server, round func(i int)) {
	t.Helper()
	total := rounds()
	goroutines := func() int {
		n, err := strconv.Atoi(docker(t, "info", "-f", "{{.NGoroutines}}"))
		must(t, err)
		return n
	}
	var early held
	var earlyGoroutines int
	for i := range total {
		round(i)
		if i == total/3 {
			s.waitIdle(20 * time.Second)
			time.Sleep(200 * time.Millisecond)
			early, earlyGoroutines = s.held(), goroutines()
		}
	}
	s.waitIdle(20 * time.Second)
	time.Sleep(200 * time.Millisecond)
	late := s.held()
	t.Logf("after %d rounds: %+v, after %d: %+v", total/3, early, total, late)
	if late.Descriptors > early.Descriptors+2 {
		t.Errorf("descriptors grew from %d to %d", early.Descriptors, late.Descriptors)
	}
	// Other tests use the same engine meanwhile: one goroutine for every second round is a leak.
	eventually(t, 30*time.Second, "dockerd's goroutines are as before", func() bool {
		return goroutines() <= earlyGoroutines+max(8, total/3)
	})
	if late.Children != 0 {
		t.Errorf("%d children are left", late.Children)
	}
	if grown := late.HeapBytes - early.HeapBytes; grown > 3*megabyte {
		t.Errorf("heap grew by %d KB", grown>>10)
	}
	for kind, count := range late.Resources {
		if count > early.Resources[kind]+2 {
			t.Errorf("%s grew from %d to %d", kind, early.Resources[kind], count)
		}
	}
}

func TestAttachDetachRounds(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, []string{"-i", "-t"}, "sh")
	level(t, s, func(i int) {
		name := []string{"spdy", "websocket"}[i%2]
		url := s.url("/attach", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true})
		proxy := startProxy(t, url.Host)
		url.Host = proxy.address
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stdin, keyboard := io.Pipe()
		screen := &safeBuffer{}
		done := make(chan error, 1)
		go func() {
			done <- executors[name](t, url).StreamWithContext(ctx,
				remotecommand.StreamOptions{Stdin: stdin, Stdout: screen, Tty: true})
		}()
		go fmt.Fprint(keyboard, "echo a''b\n")
		for screen.String() == "" && ctx.Err() == nil {
			time.Sleep(2 * time.Millisecond)
		}
		if i%4 < 2 {
			proxy.cut()
		} else {
			cancel()
		}
		<-done
		keyboard.Close()
	})
	if !running(t, id) {
		t.Error("detaching ended the container")
	}
}

func TestMissingBinaryRounds(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "10000")
	level(t, s, func(i int) {
		name := []string{"spdy", "websocket"}[i%2]
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true, Cmd: []string{"/no/such"}})
		queue := make(sizes, 1)
		queue <- remotecommand.TerminalSize{Width: 80, Height: 25}
		err := executors[name](t, url).StreamWithContext(deadline(t, 90*time.Second), remotecommand.StreamOptions{
			Stdin: strings.NewReader("x"), Stdout: io.Discard, Tty: true, TerminalSizeQueue: queue})
		close(queue)
		if code := exitCode(err); code != 126 && code != 127 {
			t.Fatalf("round %d: %v", i, err)
		}
	})
}
