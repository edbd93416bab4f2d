package streaming

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

const megabyte = 1 << 20

// clientConfig takes any certificate, as the kubelet does on loopback.
var clientConfig = &rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}}

// executors are client-go's ways to reach a server, by protocol.
var executors = map[string]func(t testing.TB, url *url.URL) remotecommand.Executor{
	"spdy": func(t testing.TB, url *url.URL) remotecommand.Executor {
		executor, err := remotecommand.NewSPDYExecutor(clientConfig, "POST", url)
		must(t, err)
		return executor
	},
}

// webSocketExecutor speaks one protocol; nil where this client-go has no WebSocket.
var webSocketExecutor func(url *url.URL, protocol string) (remotecommand.Executor, error)

func bothProtocols(t *testing.T, test func(t *testing.T, open func(*url.URL) remotecommand.Executor)) {
	for name, create := range executors {
		t.Run(name, func(t *testing.T) {
			test(t, func(url *url.URL) remotecommand.Executor { return create(t, url) })
		})
	}
}

func spdyWith(t testing.TB, url *url.URL, protocols ...string) remotecommand.Executor {
	transport, upgrader, err := spdy.RoundTripperFor(clientConfig)
	must(t, err)
	executor, err := remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", url, protocols...)
	must(t, err)
	return executor
}

func deadline(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func exitCode(err error) int {
	var exit utilexec.CodeExitError
	if err == nil {
		return 0
	}
	if errors.As(err, &exit) {
		return exit.Code
	}
	return -1
}

func TestExecText(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
			Cmd: []string{"sh", "-c", "echo out; echo err >&2"}})
		var stdout, stderr bytes.Buffer
		err := open(url).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
		must(t, err)
		if stdout.String() != "out\n" || stderr.String() != "err\n" {
			t.Fatalf("stdout %q stderr %q", stdout.String(), stderr.String())
		}
	})
	s.waitIdle(20 * time.Second)
}

func TestExecOlderProtocols(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	for _, protocol := range []string{"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"} {
		opens := map[string]func(*url.URL) remotecommand.Executor{
			"spdy": func(url *url.URL) remotecommand.Executor { return spdyWith(t, url, protocol) },
		}
		// As Kubernetes' own server, which has the others for SPDY alone.
		if webSocketExecutor != nil && (protocol == "v4.channel.k8s.io" || protocol == "channel.k8s.io") {
			opens["websocket"] = func(url *url.URL) remotecommand.Executor {
				executor, err := webSocketExecutor(url, protocol)
				must(t, err)
				return executor
			}
		}
		for name, open := range opens {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
					Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
				var stdout, stderr bytes.Buffer
				err := open(url).StreamWithContext(deadline(t, 90*time.Second),
					remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
				if stdout.String() != "out\n" || stderr.String() != "err\n" {
					t.Fatalf("stdout %q stderr %q", stdout.String(), stderr.String())
				}
				// The first protocol's client returns with the output's end and may miss the status.
				if err == nil && protocol != "channel.k8s.io" {
					t.Fatal("exit code 3 is no error")
				}
				if protocol == "v4.channel.k8s.io" && exitCode(err) != 3 {
					t.Fatalf("error %v", err)
				}
			})
		}
	}
	s.waitIdle(20 * time.Second)
}

func TestExecExitCodes(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for command, want := range map[string]int{"exit 0": 0, "exit 1": 1, "exit 255": 255, "kill -9 $$": 137} {
			url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Cmd: []string{"sh", "-c", command}})
			err := open(url).StreamWithContext(deadline(t, 90*time.Second),
				remotecommand.StreamOptions{Stdout: io.Discard})
			if exitCode(err) != want {
				t.Errorf("%s: %v", command, err)
			}
		}
	})
}

func TestExecExitCodeComesLate(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		// The output ends three seconds before the process does.
		url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
			Cmd: []string{"sh", "-c", "exec >&- 2>&-; sleep 3; exit 7"}})
		err := open(url).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		if exitCode(err) != 7 {
			t.Fatal(err)
		}
	})
}

func TestExecOutputLeftOpen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
		Cmd: []string{"sh", "-c", "sleep 500 & echo started; exit 4"}})
	var stdout bytes.Buffer
	err := executors["spdy"](t, url).StreamWithContext(deadline(t, 120*time.Second),
		remotecommand.StreamOptions{Stdout: &stdout, Stderr: io.Discard})
	if exitCode(err) != 4 || stdout.String() != "started\n" {
		t.Fatalf("%v %q", err, stdout.String())
	}
}

func TestExecStdinEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for _, text := range []string{"", "x", strings.Repeat("line\n", 50_000)} {
			url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"cat"}})
			var stdout bytes.Buffer
			err := open(url).StreamWithContext(deadline(t, 90*time.Second),
				remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &stdout})
			must(t, err)
			if stdout.String() != text {
				t.Fatalf("%d bytes came back as %d", len(text), stdout.Len())
			}
		}
	})
	s.waitIdle(20 * time.Second)
}

func TestExecStdinOnly(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Cmd: []string{"sh", "-c", "cat > /tmp/in; exit 5"}})
		err := open(url).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdin: strings.NewReader("stored")})
		if exitCode(err) != 5 || docker(t, "exec", id, "cat", "/tmp/in") != "stored" {
			t.Fatal(err)
		}
	})
}

func TestExecLargeOutput(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	const size = 96 * megabyte
	want := sha256.New()
	io.Copy(want, io.LimitReader(&repeater{text: []byte("0123456789abcde\n")}, size))
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true,
			Cmd: []string{"sh", "-c", fmt.Sprintf("yes 0123456789abcde | head -c %d", size)}})
		got := sha256.New()
		counter := &countingWriter{to: got}
		before := s.held()
		err := open(url).StreamWithContext(deadline(t, 120*time.Second),
			remotecommand.StreamOptions{Stdout: counter, Stderr: io.Discard})
		must(t, err)
		if counter.bytes != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Fatalf("%d bytes", counter.bytes)
		}
		if grown := s.held().RSSBytes - before.RSSBytes; grown > 80*megabyte {
			t.Fatalf("memory grew by %d MB", grown/megabyte)
		}
	})
}

func TestExecLargeInput(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	const size = 64 * megabyte
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"sha256sum"}})
		hash := sha256.New()
		source := io.TeeReader(io.LimitReader(rand.New(rand.NewSource(1)), size), hash)
		var stdout bytes.Buffer
		err := open(url).StreamWithContext(deadline(t, 120*time.Second),
			remotecommand.StreamOptions{Stdin: source, Stdout: &stdout})
		must(t, err)
		if !strings.HasPrefix(stdout.String(), hex.EncodeToString(hash.Sum(nil))) {
			t.Fatalf("got %q", stdout.String())
		}
	})
}

func TestExecBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	const size = 32 * megabyte
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"cat"}})
		in, out := sha256.New(), sha256.New()
		source := io.TeeReader(io.LimitReader(rand.New(rand.NewSource(2)), size), in)
		err := open(url).StreamWithContext(deadline(t, 120*time.Second),
			remotecommand.StreamOptions{Stdin: source, Stdout: out})
		must(t, err)
		if !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
			t.Fatal("what came back is not what was sent")
		}
	})
}

type sizes chan remotecommand.TerminalSize

func (q sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-q
	if !ok {
		return nil
	}
	return &size
}

func TestExecTTYResize(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true, Cmd: []string{"sh"}})
		queue := make(sizes, 4)
		queue <- remotecommand.TerminalSize{Width: 101, Height: 41}
		typed, keyboard := io.Pipe()
		screen := &safeBuffer{}
		done := make(chan error, 1)
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 120*time.Second), remotecommand.StreamOptions{
				Stdin: typed, Stdout: screen, Tty: true, TerminalSizeQueue: queue})
		}()
		sizeBecomes := func(want string) {
			eventually(t, 30*time.Second, "terminal is "+want, func() bool {
				fmt.Fprint(keyboard, "stty size\n")
				time.Sleep(100 * time.Millisecond)
				return strings.Contains(screen.String(), want)
			})
		}
		sizeBecomes("41 101")
		queue <- remotecommand.TerminalSize{Width: 133, Height: 52}
		sizeBecomes("52 133")
		// Docker's own detach keys are the program's to read.
		fmt.Fprint(keyboard, "stty raw -echo; echo on''ce; dd bs=1 count=3 2>/dev/null | hexdump -C; stty sane; exit 9\n")
		eventually(t, 30*time.Second, "raw mode", func() bool { return strings.Contains(screen.String(), "once") })
		fmt.Fprint(keyboard, "\x10")
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(keyboard, "\x11Z")
		err := <-done
		if exitCode(err) != 9 {
			t.Fatalf("%v\n%s", err, screen.String())
		}
		if !strings.Contains(screen.String(), "10 11 5a") {
			t.Fatalf("ctrl-p ctrl-q did not arrive:\n%s", screen.String())
		}
		close(queue)
	})
	s.waitIdle(20 * time.Second)
}

func TestExecTTYStdinEndKeepsOutput(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, TTY: true,
			Cmd: []string{"sh", "-c", "sleep 1; echo late; exit 6"}})
		var stdout bytes.Buffer
		err := open(url).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdin: strings.NewReader("x\n"), Stdout: &stdout, Tty: true})
		if exitCode(err) != 6 || !strings.Contains(stdout.String(), "late") {
			t.Fatalf("%v %q", err, stdout.String())
		}
	})
}

func TestExecFailures(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	stopped := container(t, nil, "true")
	eventually(t, 30*time.Second, "container stops", func() bool {
		return docker(t, "inspect", "-f", "{{.State.Running}}", stopped) == "false"
	})
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		run := func(id string, command ...string) error {
			url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true, Cmd: command})
			return open(url).StreamWithContext(deadline(t, 90*time.Second),
				remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		}
		if code := exitCode(run(id, "/no/such/binary")); code != 126 && code != 127 {
			t.Errorf("missing binary: exit code %d", code)
		}
		if err := run(stopped, "true"); err == nil || !strings.Contains(err.Error(), "not running") {
			t.Errorf("stopped container: %v", err)
		}
		if err := run(strings.Repeat("0", 64), "true"); err == nil || !strings.Contains(err.Error(), "No such container") {
			t.Errorf("no container: %v", err)
		}
	})
	s.waitIdle(20 * time.Second)
}

func TestExecStalledReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Cmd: []string{"sh", "-c", "yes | head -c 67108864"}})
		gate := &gatedWriter{open: make(chan struct{})}
		done := make(chan error, 1)
		before := s.held()
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 120*time.Second), remotecommand.StreamOptions{Stdout: gate})
		}()
		time.Sleep(2 * time.Second)
		if grown := s.held().RSSBytes - before.RSSBytes; grown > 40*megabyte {
			t.Errorf("memory grew by %d MB", grown/megabyte)
		}
		close(gate.open)
		must(t, <-done)
		if gate.bytes != 64*megabyte {
			t.Errorf("%d bytes", gate.bytes)
		}
	})
}

func TestExecStalledContainer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		// The process never reads: the client must be slowed down, and its leaving must still be seen.
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"sleep", "900"}})
		proxy := startProxy(t, url.Host)
		url.Host = proxy.address
		done := make(chan error, 1)
		before := s.held()
		go func() {
			done <- open(url).StreamWithContext(deadline(t, 120*time.Second), remotecommand.StreamOptions{
				Stdin: io.LimitReader(&repeater{text: []byte("y\n")}, 100*megabyte), Stdout: io.Discard})
		}()
		time.Sleep(2 * time.Second)
		if grown := s.held().RSSBytes - before.RSSBytes; grown > 40*megabyte {
			t.Errorf("memory grew by %d MB", grown/megabyte)
		}
		proxy.cut()
		<-done
		s.waitIdle(20 * time.Second)
		eventually(t, 30*time.Second, "the process ends with its client", func() bool {
			return !strings.Contains(docker(t, "top", id), "sleep 900")
		})
	})
}

type repeater struct {
	text []byte
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

type countingWriter struct {
	to    io.Writer
	bytes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.bytes += len(p)
	return w.to.Write(p)
}

type gatedWriter struct {
	open   chan struct{}
	called atomic.Bool
	bytes  int
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	w.called.Store(true)
	<-w.open
	w.bytes += len(p)
	return len(p), nil
}

type safeBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}
