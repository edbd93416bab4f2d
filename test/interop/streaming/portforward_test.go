package streaming

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// dialers are client-go's ways to open a port-forward connection.
var dialers = map[string]func(t testing.TB, url *url.URL) httpstream.Dialer{
	"spdy": func(t testing.TB, url *url.URL) httpstream.Dialer {
		transport, upgrader, err := spdy.RoundTripperFor(clientConfig)
		must(t, err)
		return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url)
	},
}

func bothDialers(t *testing.T, test func(t *testing.T, open func(*url.URL) httpstream.Dialer)) {
	for name, create := range dialers {
		t.Run(name, func(t *testing.T) {
			test(t, func(url *url.URL) httpstream.Dialer { return create(t, url) })
		})
	}
}

// forwarded starts client-go's port-forwarder and returns the local address of each remote port.
func forwarded(t testing.TB, dialer httpstream.Dialer, remote ...int) (map[int]string, chan error, func()) {
	t.Helper()
	ports := []string{}
	for _, port := range remote {
		ports = append(ports, fmt.Sprintf("0:%d", port))
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, ports, stop, ready, io.Discard, io.Discard)
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("port-forward ended: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("port-forward is not ready")
	}
	found, err := forwarder.GetPorts()
	must(t, err)
	local := map[int]string{}
	for _, port := range found {
		local[int(port.Remote)] = fmt.Sprintf("127.0.0.1:%d", port.Local)
	}
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }) }
	t.Cleanup(end)
	return local, done, end
}

func dialLocal(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func TestPortForwardEcho(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "echo=127.0.0.1:8080", "echo=[::1]:8081", "sum=127.0.0.1:8082", "banner=127.0.0.1:8084")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: id, Ports: []int{}})
		local, _, end := forwarded(t, open(url), 8080, 8081, 8082, 8084)
		for _, port := range []int{8080, 8081} {
			conn := dialLocal(t, local[port])
			fmt.Fprint(conn, "ping")
			reply := make([]byte, 4)
			if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "ping" {
				t.Fatalf("port %d: %v %q", port, err, reply)
			}
			conn.Close()
		}
		// The client's half-close arrives, and the answer comes after it.
		conn := dialLocal(t, local[8082])
		hash := sha256.New()
		_, err := io.Copy(conn, io.TeeReader(io.LimitReader(rand.New(rand.NewSource(3)), 5*megabyte), hash))
		must(t, err)
		conn.CloseWrite()
		sum, err := io.ReadAll(conn)
		must(t, err)
		if string(sum) != hex.EncodeToString(hash.Sum(nil)) {
			t.Fatalf("sum %q", sum)
		}
		// A server that speaks first.
		conn = dialLocal(t, local[8084])
		line := make([]byte, 6)
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != "hello\n" {
			t.Fatalf("%v %q", err, line)
		}
		end()
		s.waitIdle(20 * time.Second)
	})
	eventually(t, 30*time.Second, "no helper is left", func() bool { return s.held().Children == 0 })
}

func TestPortForwardHundredStreams(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "echo=127.0.0.1:8080")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
		local, _, end := forwarded(t, open(url), 8080)
		var group sync.WaitGroup
		failures := make(chan error, 100)
		started := make(chan struct{})
		for i := range 100 {
			group.Add(1)
			go func() {
				defer group.Done()
				failures <- func() error {
					conn, err := net.Dial("tcp", local[8080])
					if err != nil {
						return err
					}
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(60 * time.Second))
					// All connections exist at the same time.
					<-started
					text := make([]byte, 200_000)
					rand.New(rand.NewSource(int64(i))).Read(text)
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
		time.Sleep(500 * time.Millisecond)
		close(started)
		group.Wait()
		close(failures)
		for err := range failures {
			if err != nil {
				t.Error(err)
			}
		}
		if children := s.held().Children; children > 1 {
			t.Errorf("%d processes for one session", children)
		}
		end()
		s.waitIdle(20 * time.Second)
	})
}

func TestPortForwardLarge(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "source=127.0.0.1:8083", "sum=127.0.0.1:8082")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
		local, _, end := forwarded(t, open(url), 8082, 8083)
		before := s.held()
		conn := dialLocal(t, local[8083])
		got, want := sha256.New(), sha256.New()
		size, err := io.Copy(got, conn)
		must(t, err)
		io.Copy(want, io.LimitReader(&repeater{text: allBytes()}, 96*megabyte))
		if size != 96*megabyte || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Fatalf("%d bytes came", size)
		}
		conn = dialLocal(t, local[8082])
		hash := sha256.New()
		_, err = io.Copy(conn, io.TeeReader(io.LimitReader(rand.New(rand.NewSource(4)), 64*megabyte), hash))
		must(t, err)
		conn.CloseWrite()
		sum, err := io.ReadAll(conn)
		must(t, err)
		if string(sum) != hex.EncodeToString(hash.Sum(nil)) {
			t.Fatalf("sum %q", sum)
		}
		if grown := s.held().RSSBytes - before.RSSBytes; grown > 80*megabyte {
			t.Errorf("memory grew by %d MB", grown/megabyte)
		}
		end()
		s.waitIdle(20 * time.Second)
	})
}

func allBytes() []byte {
	block := make([]byte, 256)
	for i := range block {
		block[i] = byte(i)
	}
	return block
}

// openPair opens the two streams of one connection as client-go's port-forwarder does.
func openPair(t testing.TB, conn httpstream.Connection, port int, request int) (data, errors httpstream.Stream) {
	t.Helper()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(request))
	errors, err := conn.CreateStream(headers)
	must(t, err)
	errors.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err = conn.CreateStream(headers)
	must(t, err)
	return data, errors
}

// client-go's port-forwarder closes its whole connection at the first message on an error stream, so
// what a refused port does to its neighbours shows one level below.
func TestPortForwardRefusedPort(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "echo=127.0.0.1:8080", "reset=127.0.0.1:8085")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
		conn, _, err := open(url).Dial(portforward.PortForwardProtocolV1Name)
		must(t, err)
		good, _ := openPair(t, conn, 8080, 0)
		ping := func() {
			t.Helper()
			fmt.Fprint(good, "ping")
			reply := make([]byte, 4)
			if _, err := io.ReadFull(good, reply); err != nil || string(reply) != "ping" {
				t.Fatalf("%v %q", err, reply)
			}
		}
		ping()
		data, errors := openPair(t, conn, 9999, 1)
		message, err := io.ReadAll(errors)
		must(t, err)
		if !strings.Contains(string(message), "9999") || !strings.Contains(string(message), "refused") {
			t.Fatalf("message %q", message)
		}
		if rest, err := io.ReadAll(data); err != nil || len(rest) > 0 {
			t.Fatalf("%v %q", err, rest)
		}
		ping()
		// A connection that the pod resets ends without a word.
		data, errors = openPair(t, conn, 8085, 2)
		io.ReadAll(data)
		if message, err := io.ReadAll(errors); err != nil || len(message) > 0 {
			t.Fatalf("%v %q", err, message)
		}
		ping()
		for i, port := range []string{"0", "65536", "-1", "x", ""} {
			headers := http.Header{}
			headers.Set(corev1.StreamType, corev1.StreamTypeError)
			headers.Set(corev1.PortHeader, port)
			headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(100+i))
			if stream, err := conn.CreateStream(headers); err == nil {
				if _, err := io.ReadAll(stream); err != nil {
					t.Errorf("port %q: %v", port, err)
				}
			}
		}
		ping()
		conn.Close()
		s.waitIdle(20 * time.Second)
	})
}

func TestPortForwardHelperDies(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "echo=127.0.0.1:8080")
	url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
	local, _, end := forwarded(t, dialers["spdy"](t, url), 8080)
	ping := func(conn net.Conn) {
		t.Helper()
		fmt.Fprint(conn, "ping")
		reply := make([]byte, 4)
		if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "ping" {
			t.Fatalf("%v %q", err, reply)
		}
	}
	old := dialLocal(t, local[8080])
	ping(old)
	for range 5 {
		out, err := exec.Command("pkill", "-KILL", "-P", strconv.Itoa(s.process.Process.Pid)).CombinedOutput()
		if err != nil {
			t.Fatalf("no helper to kill: %v %s", err, out)
		}
		ping(dialLocal(t, local[8080]))
		ping(old)
	}
	end()
	s.waitIdle(20 * time.Second)
	eventually(t, 30*time.Second, "no helper is left", func() bool { return s.held().Children == 0 })
}

func TestPortForwardHostNetwork(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	id := pod(t, "host", fmt.Sprintf("echo=127.0.0.1:%d", port))
	url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
	local, _, _ := forwarded(t, dialers["spdy"](t, url), port)
	conn := dialLocal(t, local[port])
	fmt.Fprint(conn, "ping")
	conn.CloseWrite()
	if reply, err := io.ReadAll(conn); err != nil || string(reply) != "ping" {
		t.Fatalf("%v %q", err, reply)
	}
	if children := s.held().Children; children != 0 {
		t.Errorf("%d helpers for the host's own namespace", children)
	}
}

func TestPortForwardStalledServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := pod(t, "none", "stall=127.0.0.1:8086")
	url := s.url("/portforward", portForwardRequest{PodSandboxID: id})
	proxy := startProxy(t, url.Host)
	url.Host = proxy.address
	local, done, _ := forwarded(t, dialers["spdy"](t, url), 8086)
	before := s.held()
	conn := dialLocal(t, local[8086])
	go io.Copy(conn, io.LimitReader(&repeater{text: []byte("y\n")}, 100*megabyte))
	time.Sleep(2 * time.Second)
	if grown := s.held().RSSBytes - before.RSSBytes; grown > 40*megabyte {
		t.Errorf("memory grew by %d MB", grown/megabyte)
	}
	proxy.cut()
	<-done
	s.waitIdle(20 * time.Second)
	eventually(t, 30*time.Second, "no helper is left", func() bool { return s.held().Children == 0 })
}
