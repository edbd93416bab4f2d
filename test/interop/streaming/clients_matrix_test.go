package streaming

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
)

// Sizes, signals and exit codes, of exec and of attach, with every client.

// What says its size at first and whenever it is told of another one.
const tellsSize = "trap 'stty size' WINCH; stty size; while :; do sleep 0.1; done"

func TestClientSizes(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		attached := container(t, []string{"-i", "-t"}, "sh", "-c", tellsSize)
		for kind, url := range map[string]*url.URL{
			"exec":   s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh", "-c", tellsSize}}),
			"attach": s.url("/attach", execRequest{ContainerID: attached, TTY: true, Stdin: true, Stdout: true}),
		} {
			at := openTerminal(t, open(url))
			// The client's first size may come after the start.
			at.shows("23 81\r\n")
			// What is beyond these busybox takes for no size.
			for _, size := range []remotecommand.TerminalSize{{Width: 132, Height: 43}, {Width: 2, Height: 2}, {Width: 29999, Height: 29999}, {Width: 80, Height: 24}} {
				at.sizes <- size
				at.shows(fmt.Sprintf("%d %d\r\n", size.Height, size.Width))
			}
			// Of many at once the last one counts.
			for width := range uint16(50) {
				at.sizes <- remotecommand.TerminalSize{Width: 200 + width, Height: 50}
			}
			at.shows("50 249\r\n")
			time.Sleep(300 * time.Millisecond)
			if lines := strings.Fields(at.screen.String()); lines[len(lines)-1] != "249" {
				t.Errorf("%s: the last size is not the client's: %q", kind, at.screen.String())
			}
			at.leave()
			<-at.done
		}
		// A client that comes to a terminal of its own size sends another one first, to have the screen drawn anew.
		at := openTerminal(t, open(s.url("/attach", execRequest{ContainerID: attached, TTY: true, Stdin: true, Stdout: true})))
		at.shows("23 81\r\n")
		at.sizes <- remotecommand.TerminalSize{Width: 82, Height: 24}
		at.sizes <- remotecommand.TerminalSize{Width: 81, Height: 23}
		eventually(t, 30*time.Second, "the screen is drawn anew", func() bool { return strings.Count(at.screen.String(), "23 81\r\n") == 2 })
		at.leave()
		<-at.done
	})
	s.waitIdle(10 * time.Second)
}

// The terminal's keys for signals reach what runs in front, in an exec and in an attached container, whose exit code is its own.
func TestClientSignals(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	keys := map[string]int{"\x03": 130, "\x1c": 131}
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for key, want := range keys {
			at := openTerminal(t, open(s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh", "-c", "echo ready; exec sleep 100"}})))
			at.shows("ready")
			time.Sleep(200 * time.Millisecond)
			fmt.Fprint(at.keyboard, key)
			at.ends(want)
			// The first process of a container has no signals that it does not ask for.
			attached := container(t, []string{"-i", "-t"}, "sh", "-c", "trap 'exit 130' INT; trap 'exit 131' QUIT; read line; while :; do echo ready; sleep 0.1; done")
			at = openTerminal(t, open(s.url("/attach", execRequest{ContainerID: attached, TTY: true, Stdin: true, Stdout: true})))
			fmt.Fprint(at.keyboard, "\n")
			at.shows("ready")
			fmt.Fprint(at.keyboard, key)
			// How the container ended is no affair of an attach.
			at.ends(0)
			eventually(t, 20*time.Second, fmt.Sprintf("the container has exit code %d", want), func() bool {
				return docker(t, "inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", attached) == fmt.Sprintf("false %d", want)
			})
		}
		// A job that is stopped and goes on.
		at := openTerminal(t, open(s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh"}})))
		fmt.Fprint(at.keyboard, "echo ru''ns; sleep 2\n")
		at.shows("runs\r\n")
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(at.keyboard, "\x1a")
		at.shows("Stopped")
		fmt.Fprint(at.keyboard, "fg; echo co''de $?; exit 7\n")
		at.shows("code 0")
		at.ends(7)
	})
	s.waitIdle(10 * time.Second)
}

// The exit code is the same whatever streams the client has open, and however much it still sends.
func TestClientExitCodesOfAllForms(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		var group sync.WaitGroup
		for name, form := range map[string]execRequest{
			"stdout":         {Stdout: true},
			"stderr":         {Stderr: true},
			"stdin":          {Stdin: true},
			"all":            {Stdin: true, Stdout: true, Stderr: true},
			"terminal":       {TTY: true, Stdout: true},
			"terminal, keys": {TTY: true, Stdin: true, Stdout: true},
		} {
			for command, want := range map[string]int{"exit 0": 0, "exit 5": 5, "kill -15 $$": 143} {
				form.ContainerID, form.Cmd = id, []string{"sh", "-c", command}
				url := s.url("/exec", form)
				opts := remotecommand.StreamOptions{Tty: form.TTY}
				if form.Stdin {
					// Its end never comes.
					opts.Stdin, _ = io.Pipe()
				}
				if form.Stdout {
					opts.Stdout = io.Discard
				}
				if form.Stderr {
					opts.Stderr = io.Discard
				}
				group.Add(1)
				go func() {
					defer group.Done()
					if err := open(url).StreamWithContext(deadline(t, 60*time.Second), opts); exitCode(err) != want {
						t.Errorf("%s, %s: %v", name, command, err)
					}
				}()
			}
			group.Wait()
		}
	})
	s.waitIdle(10 * time.Second)
}

// A client that only watched leaves nothing behind, although the container says nothing that would show that it has gone.
func TestClientAttachLeaves(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sh", "-c", "while :; do [ -e /say ] && echo said && rm /say; sleep 0.05; done")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		before := s.held().Descriptors
		for range 6 {
			ctx, cancel := context.WithCancel(deadline(t, 60*time.Second))
			done := make(chan error, 1)
			screen := &safeBuffer{}
			url := s.url("/attach", execRequest{ContainerID: id, Stdout: true, Stderr: true})
			go func() {
				done <- open(url).StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: screen, Stderr: io.Discard})
			}()
			eventually(t, 30*time.Second, "the container is heard", func() bool {
				docker(t, "exec", id, "touch", "/say")
				return screen.String() != ""
			})
			eventually(t, 10*time.Second, "it is silent", func() bool { _, err := tryDocker("exec", id, "test", "-e", "/say"); return err != nil })
			cancel()
			<-done
			s.waitIdle(20 * time.Second)
		}
		eventually(t, 20*time.Second, "no connection with Docker is left", func() bool { return s.held().Descriptors < before+4 })
		if !running(t, id) {
			t.Fatal("the container has ended")
		}
	})
}
