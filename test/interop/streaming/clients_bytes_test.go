package streaming

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/remotecommand"
)

// copyMegabytes is a size of scripts/test-interop.
func copyMegabytes(variable string) int64 {
	size, err := strconv.ParseInt(os.Getenv(variable), 10, 64)
	if err != nil {
		return 64
	}
	return size
}

// As `kubectl cp` does it: tar at one end of an exec, its stream at the other.
func TestClientCopies(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		variable := "DOCKLINE_TEST_COPY_MEGABYTES"
		if strings.HasSuffix(t.Name(), "/spdy") {
			variable = "DOCKLINE_TEST_SPDY_COPY_MEGABYTES"
		}
		size := copyMegabytes(variable) * megabyte
		var header bytes.Buffer
		must(t, tar.NewWriter(&header).WriteHeader(&tar.Header{Name: "big", Mode: 0o644, Size: size, Format: tar.FormatUSTAR}))
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Stderr: true, Cmd: []string{"sh", "-c", "mkdir -p /tmp && tar -xf - -C /tmp && sha256sum /tmp/big"}})
		hash := sha256.New()
		stream := io.MultiReader(bytes.NewReader(header.Bytes()), io.TeeReader(io.LimitReader(rand.New(rand.NewSource(5)), size), hash), bytes.NewReader(make([]byte, 1024)))
		var stdout, stderr bytes.Buffer
		began := time.Now()
		err := open(url).StreamWithContext(deadline(t, 300*time.Second), remotecommand.StreamOptions{Stdin: stream, Stdout: &stdout, Stderr: &stderr})
		if want := fmt.Sprintf("%x  /tmp/big\n", hash.Sum(nil)); err != nil || stdout.String() != want {
			t.Fatalf("in: %v, %q, wanted %q; %s", err, stdout.String(), want, stderr.String())
		}
		url = s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true, Cmd: []string{"tar", "-cf", "-", "-C", "/tmp", "big"}})
		in := time.Since(began)
		began = time.Now()
		back := sha256.New()
		out := &middle{skip: 512, left: size, to: back}
		must(t, open(url).StreamWithContext(deadline(t, 300*time.Second), remotecommand.StreamOptions{Stdout: out, Stderr: &stderr}))
		if !bytes.Equal(back.Sum(nil), hash.Sum(nil)) || out.left != 0 {
			t.Fatalf("out: another file, %d bytes are missing; %s", out.left, stderr.String())
		}
		t.Logf("copied %d MB in %.1f s in and %.1f s out, checksums equal", size/megabyte, in.Seconds(), time.Since(began).Seconds())
		docker(t, "exec", id, "rm", "/tmp/big")
	})
	s.waitIdle(20 * time.Second)
}

// middle hands on what comes behind the first bytes, up to a size.
type middle struct {
	skip, left int64
	to         io.Writer
}

func (m *middle) Write(p []byte) (int, error) {
	whole := len(p)
	skipped := min(m.skip, int64(len(p)))
	m.skip -= skipped
	p = p[skipped:]
	taken := min(m.left, int64(len(p)))
	m.left -= taken
	m.to.Write(p[:taken])
	return whole, nil
}

func TestClientForwardsFiveHundred(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "echo=127.0.0.1:8080")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		local, done, end := forwarded(t, open(s.url("/portforward", portForwardRequest{PodSandboxID: id})), 8080)
		var ready, finished sync.WaitGroup
		failures := make(chan error, 500)
		all := make(chan struct{})
		for i := range 500 {
			ready.Add(1)
			finished.Add(1)
			go func() {
				defer finished.Done()
				failures <- func() error {
					conn, err := net.Dial("tcp", local[8080])
					if err == nil {
						defer conn.Close()
						conn.SetDeadline(time.Now().Add(240 * time.Second))
						fmt.Fprintf(conn, "%6d", i)
						_, err = io.ReadFull(conn, make([]byte, 6))
					}
					ready.Done()
					if err != nil {
						return err
					}
					<-all
					text := bytes.Repeat([]byte(fmt.Sprintf("%06d\n", i)), 3000)
					go func() {
						conn.Write(text)
						conn.(*net.TCPConn).CloseWrite()
					}()
					got, err := io.ReadAll(conn)
					if err == nil && !bytes.Equal(got, text) {
						err = fmt.Errorf("%d of %d bytes", len(got), len(text))
					}
					return err
				}()
			}()
		}
		// All of them exist at the same time.
		ready.Wait()
		close(all)
		finished.Wait()
		close(failures)
		for err := range failures {
			if err != nil {
				t.Error(err)
			}
		}
		select {
		case err := <-done:
			t.Fatalf("the session has ended: %v", err)
		default:
		}
		end()
		s.waitIdle(10 * time.Second)
	})
}

func TestClientForwardHalfCloses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "sum=127.0.0.1:8082", "bye=127.0.0.1:8087", "some=127.0.0.1:8083")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		local, _, end := forwarded(t, open(s.url("/portforward", portForwardRequest{PodSandboxID: id})), 8082, 8083, 8087)
		for range 5 {
			// The client ends first.
			conn := dialLocal(t, local[8082])
			fmt.Fprint(conn, "abc")
			conn.CloseWrite()
			if sum, err := io.ReadAll(conn); err != nil || string(sum) != fmt.Sprintf("%x", sha256.Sum256([]byte("abc"))) {
				t.Fatalf("%v %q", err, sum)
			}
			// The pod ends first, and the client waits for that before it ends.
			conn = dialLocal(t, local[8087])
			began := time.Now()
			if text, err := io.ReadAll(conn); err != nil || string(text) != "bye" {
				t.Fatalf("%v %q", err, text)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("the end came after %v", took)
			}
		}
		// Much comes before the pod's end.
		if size, err := io.Copy(io.Discard, dialLocal(t, local[8083])); err != nil || size != 16*megabyte {
			t.Fatalf("%v, %d bytes", err, size)
		}
		end()
		s.waitIdle(20 * time.Second)
	})
}

// A client that is gone in the middle of anything leaves nothing behind and harms nobody.
func TestClientsKilled(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, []string{"-i"}, "sh", "-c", "while read line; do echo got $line; done")
	target := pod(t, "none", "echo=127.0.0.1:8080", "source=127.0.0.1:8083", "stall=127.0.0.1:8086")
	points := map[string]struct {
		request execRequest
		path    string
		after   time.Duration
	}{
		"at once":        {execRequest{Cmd: []string{"sleep", "100"}, Stdin: true, Stdout: true}, "/exec", 0},
		"at a terminal":  {execRequest{Cmd: []string{"sh"}, Stdin: true, Stdout: true, TTY: true}, "/exec", 300 * time.Millisecond},
		"in its output":  {execRequest{Cmd: []string{"sh", "-c", "yes | head -c 20000000"}, Stdout: true}, "/exec", 300 * time.Millisecond},
		"in its input":   {execRequest{Cmd: []string{"sleep", "100"}, Stdin: true, Stdout: true}, "/exec", 300 * time.Millisecond},
		"while it idles": {execRequest{Cmd: []string{"cat"}, Stdin: true, Stdout: true}, "/exec", 300 * time.Millisecond},
		"in an attach":   {execRequest{Stdin: true, Stdout: true}, "/attach", 300 * time.Millisecond},
	}
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		for name, point := range points {
			point.request.ContainerID = id
			url := s.url(point.path, point.request)
			between := startProxy(t, url.Host)
			url.Host = between.address
			done := make(chan error, 1)
			go func() {
				opts := remotecommand.StreamOptions{Stdout: io.Discard, Tty: point.request.TTY}
				if point.request.Stdin {
					opts.Stdin = io.LimitReader(&repeater{text: []byte("y\n")}, 100*megabyte)
					if name == "while it idles" || name == "in an attach" {
						opts.Stdin, _ = io.Pipe()
					}
				}
				done <- open(url).StreamWithContext(deadline(t, 120*time.Second), opts)
			}()
			between.waitConnected(t)
			time.Sleep(point.after)
			between.cut()
			eventually(t, 30*time.Second, "the session of a client ends that was killed "+name, func() bool { return s.held().Sessions == 0 })
			// Go's client waits half a minute for the answer to a stream that it has just opened, whatever becomes of the connection.
			select {
			case <-done:
			case <-time.After(60 * time.Second):
				t.Fatalf("%s: the client does not notice", name)
			}
		}
	})
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		for _, port := range []int{8080, 8083, 8086} {
			url := s.url("/portforward", portForwardRequest{PodSandboxID: target})
			between := startProxy(t, url.Host)
			url.Host = between.address
			local, _, _ := forwarded(t, open(url), port)
			conn := dialLocal(t, local[port])
			go io.Copy(conn, io.LimitReader(&repeater{text: []byte("y\n")}, 10*megabyte))
			time.Sleep(200 * time.Millisecond)
			between.cut()
			conn.Close()
		}
		s.waitIdle(20 * time.Second)
	})
	eventually(t, 30*time.Second, "no helper is left", func() bool { return s.held().Children == 0 })
	if !running(t, id) {
		t.Fatal("the container has ended")
	}
}
