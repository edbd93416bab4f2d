// Package streaming runs the Kubernetes clients' own code against Dockline's streaming server, which
// serve.ts puts over a real Docker Engine. See scripts/test-interop.
package streaming

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const image = "busybox:test"

// server is one harness process.
type server struct {
	t       testing.TB
	process *exec.Cmd
	stdin   io.Closer
	control string
}

// held is what the harness process holds on to.
type held struct {
	Sessions    int            `json:"sessions"`
	RSSBytes    int64          `json:"rssBytes"`
	HeapBytes   int64          `json:"heapBytes"`
	CPUMs       float64        `json:"cpuMs"`
	Descriptors int            `json:"descriptors"`
	Children    int            `json:"children"`
	Killed      int            `json:"killed"`
	Resources   map[string]int `json:"resources"`
}

func startServer(t testing.TB, script string, env ...string) *server {
	t.Helper()
	process := exec.Command("node", "--expose-gc", script)
	process.Env = append(os.Environ(), env...)
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	must(t, err)
	stdout, err := process.StdoutPipe()
	must(t, err)
	must(t, process.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	s := &server{t: t, process: process, stdin: stdin, control: strings.TrimSpace(line)}
	t.Cleanup(s.kill)
	return s
}

func (s *server) kill() {
	s.stdin.Close()
	s.process.Process.Kill()
	s.process.Wait()
}

func (s *server) ask(path string, request, reply any) {
	s.t.Helper()
	must(s.t, s.tryAsk(path, request, reply))
}

func (s *server) tryAsk(path string, request, reply any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := http.Post(s.control+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("%s: %s", path, text)
	}
	return json.Unmarshal(text, reply)
}

func (s *server) held() held {
	s.t.Helper()
	var reply held
	s.ask("/held", struct{}{}, &reply)
	return reply
}

// waitIdle waits until no session is left.
func (s *server) waitIdle(limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, "all sessions end", func() bool { return s.held().Sessions == 0 })
}

type execRequest struct {
	ContainerID string   `json:"containerId"`
	Cmd         []string `json:"cmd"`
	TTY         bool     `json:"tty"`
	Stdin       bool     `json:"stdin"`
	Stdout      bool     `json:"stdout"`
	Stderr      bool     `json:"stderr"`
}

type portForwardRequest struct {
	PodSandboxID string `json:"podSandboxId"`
	Ports        []int  `json:"ports"`
}

func (s *server) url(path string, request any) *url.URL {
	s.t.Helper()
	if forward, ok := request.(portForwardRequest); ok && forward.Ports == nil {
		forward.Ports = []int{}
		request = forward
	}
	var reply struct {
		URL string `json:"url"`
	}
	s.ask(path, request, &reply)
	parsed, err := url.Parse(reply.URL)
	must(s.t, err)
	return parsed
}

func docker(t testing.TB, arguments ...string) string {
	t.Helper()
	out, err := tryDocker(arguments...)
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func tryDocker(arguments ...string) (string, error) {
	command := exec.Command("docker", arguments...)
	command.Env = append(os.Environ(), "DOCKER_HOST=unix://"+os.Getenv("DOCKLINE_TEST_DOCKER_SOCKET"))
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// container runs a container without a network of its own making; it goes with the test.
func container(t testing.TB, options []string, command ...string) string {
	t.Helper()
	arguments := append([]string{"run", "-d", "--network", "none", "--stop-timeout", "0"}, options...)
	id := docker(t, append(append(arguments, image), command...)...)
	t.Cleanup(func() { tryDocker("rm", "-fv", id) })
	return id
}

// podserver is built once, into programs.
var (
	programs  string
	podserver = sync.OnceValues(func() (string, error) {
		binary := filepath.Join(programs, "podserver")
		build := exec.Command("go", "build", "-o", binary, "./podserver")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build podserver: %v: %s", err, out)
		}
		return binary, nil
	})
)

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "dockline-streaming"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(programs)
	os.Exit(code)
}

// pod runs podserver with the given behaviour=address pairs.
func pod(t testing.TB, network string, pairs ...string) string {
	t.Helper()
	binary, err := podserver()
	must(t, err)
	arguments := []string{"create", "--network", network}
	if network == "none" {
		// Docker switches IPv6 off where it gives no address.
		arguments = append(arguments, "--sysctl", "net.ipv6.conf.all.disable_ipv6=0")
	}
	arguments = append(append(arguments, image, "/podserver"), pairs...)
	id := docker(t, arguments...)
	t.Cleanup(func() { tryDocker("rm", "-fv", id) })
	docker(t, "cp", binary, id+":/podserver")
	docker(t, "start", id)
	eventually(t, 10*time.Second, "podserver listens", func() bool {
		return strings.Contains(docker(t, "logs", id), "ready")
	})
	return id
}

func eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
