package streaming

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	apiproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/client-go/tools/remotecommand"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	keyBytes, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyBytes}), 0o600))
	return certFile, keyFile
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t)
	s := startServer(t, "serve.ts", "DOCKLINE_TEST_BIND=0.0.0.0:0",
		"DOCKLINE_TEST_TLS_CERT="+certFile, "DOCKLINE_TEST_TLS_KEY="+keyFile)
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Cmd: []string{"cat"}})
		if url.Scheme != "https" {
			t.Fatal(url.Scheme)
		}
		text := strings.Repeat("0123456789", 2*megabyte)
		var stdout bytes.Buffer
		must(t, open(url).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &stdout}))
		if stdout.String() != text {
			t.Fatalf("%d bytes", stdout.Len())
		}
	})
	target := pod(t, "none", "echo=127.0.0.1:8080")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: target})
		local, _, _ := forwarded(t, open(url), 8080)
		conn := dialLocal(t, local[8080])
		fmt.Fprint(conn, "ping")
		conn.CloseWrite()
		if reply, err := io.ReadAll(conn); err != nil || string(reply) != "ping" {
			t.Fatalf("%v %q", err, reply)
		}
	})
	// What speaks no TLS gets no answer in the clear, and does not stay.
	conn, err := net.Dial("tcp", s.url("/attach", execRequest{ContainerID: id, Stdout: true}).Host)
	must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if text, err := io.ReadAll(conn); err == nil && bytes.Contains(text, []byte("HTTP/1.1 2")) {
		t.Fatalf("%q", text)
	}
}

type proxyErrors struct{ t *testing.T }

func (e proxyErrors) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// The kubelet hands its client's connection on with this handler.
func throughKubelet(t *testing.T, target *url.URL) *url.URL {
	handler := apiproxy.NewUpgradeAwareHandler(target, nil, false, true, proxyErrors{t})
	kubelet := httptest.NewServer(handler)
	t.Cleanup(kubelet.Close)
	parsed, err := url.Parse(kubelet.URL + "/exec/ns/pod/container?command=x")
	must(t, err)
	return parsed
}

func TestThroughKubeletProxy(t *testing.T) {
	t.Parallel()
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	bothProtocols(t, func(t *testing.T, open func(*url.URL) remotecommand.Executor) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdin: true, Stdout: true, Stderr: true,
			Cmd: []string{"sh", "-c", "cat; echo err >&2; exit 7"}})
		text := strings.Repeat("0123456789", 2*megabyte)
		var stdout, stderr bytes.Buffer
		err := open(throughKubelet(t, url)).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &stdout, Stderr: &stderr})
		if exitCode(err) != 7 || stdout.String() != text || stderr.String() != "err\n" {
			t.Fatalf("%v, %d bytes, %q", err, stdout.Len(), stderr.String())
		}
	})
	target := pod(t, "none", "echo=127.0.0.1:8080")
	bothDialers(t, func(t *testing.T, open func(*url.URL) httpstream.Dialer) {
		url := s.url("/portforward", portForwardRequest{PodSandboxID: target})
		local, _, _ := forwarded(t, open(throughKubelet(t, url)), 8080)
		conn := dialLocal(t, local[8080])
		fmt.Fprint(conn, "ping")
		conn.CloseWrite()
		if reply, err := io.ReadAll(conn); err != nil || string(reply) != "ping" {
			t.Fatalf("%v %q", err, reply)
		}
	})
	t.Run("refusals reach the client", func(t *testing.T) {
		url := s.url("/exec", execRequest{ContainerID: id, Stdout: true, Cmd: []string{"true"}})
		url.Path += "x"
		err := executors["spdy"](t, throughKubelet(t, url)).StreamWithContext(deadline(t, 90*time.Second),
			remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "not found") {
			t.Fatal(err)
		}
	})
}
